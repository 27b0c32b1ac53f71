"""What the page of one request shows: what is known of it, and in lines what belongs together."""

from typing import Any

from usage.models import UsageRecord

INPUT = (
    "input_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "audio_input_tokens",
    "image_input_tokens",
)
OUTPUT = ("output_tokens", "reasoning_tokens", "audio_output_tokens", "image_output_tokens")
PARTS = {*INPUT[1:], *OUTPUT[1:]}
"""Of the input, or of the output: none is not worth a word."""
SECTIONS: dict[str | None, tuple[tuple[str, ...], ...]] = {
    None: (("began",), ("project_name", "token_name")),
    "Time": (("timeline",), ("duration_seconds", "first_byte_seconds", "upstream_processing_seconds")),
    "Request": (("method", "path"), ("endpoint",), ("model", "is_stream"), ("request_bytes",)),
    "Answer": (
        ("outcome", "status", "error_code"),
        ("shadow_refusals",),
        ("is_admitted",),
        ("attempts",),
        ("response_bytes",),
        ("upstream_request_id",),
    ),
    "Model tokens": (("usage_source",), INPUT, OUTPUT, ("audio_seconds",), ("service_tier",)),
    "Cost": (("cost", "cost_source"),),
}
"""Lines of fields, by heading. Its id stands above them all."""
SECONDS = ("duration_seconds", "first_byte_seconds", "upstream_processing_seconds")
"""Shown by methods of the admin's, to the millisecond."""


def fieldsets_of(record: UsageRecord) -> list[Any]:
    """As Django's admin wants them, without what is not known of this request."""
    return [
        (name, {"fields": [line for line in (_known(record, line) for line in lines) if line]})
        for name, lines in SECTIONS.items()
    ]


def _known(record: UsageRecord, line: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(
        field.removesuffix("_seconds") if field in SECONDS else field
        for field in line
        if _is_known(field, getattr(record, field, True))
    )


def _is_known(field: str, value: object) -> bool:
    return bool(value) if field in PARTS else value is not None and value != ""

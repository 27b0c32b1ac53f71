"""Structured logs on standard error: one JSON object a line, or readable lines with LOG_FORMAT=console.

Django's, Daphne's and our own loggers all end here. Standard output belongs to the commands' answers.
"""

import logging.config
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

import msgspec
import structlog

from llm_proxy_site.secret_forms import without_secrets

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
FORMATS = ("json", "console")
LOWEST = {
    "django": "INFO",  # of templates it tells all that a page shows: a token that is issued, a kept body
    "daphne": "WARNING",
    "asyncio": "WARNING",
    "httpx": "WARNING",
    "httpcore": "INFO",  # it tells headers of answers
    "authlib": "WARNING",  # it tells verifiers of codes
    "urllib3": "WARNING",
}
"""What is heard of these loggers, whatever level is configured."""

_marks: dict[str, Any] = {}


def mark_lines(**facts: Any) -> None:
    """Let every line of this process say who writes it: several write to one place."""
    _marks.update(facts)


def _mark(logger: Any, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    event.update(_marks)
    return event


def _conceal(logger: Any, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Libraries name the paths that they were asked for, in which clients may have put their tokens."""
    event["event"] = without_secrets(str(event["event"]))
    return event


_SHARED: list[structlog.typing.Processor] = [
    _mark,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def logging_config(*, level: str, style: str) -> dict[str, Any]:
    """Django's LOGGING value; an unknown level or style falls back (a system check names it)."""
    return {
        "level": level if level in LEVELS else "INFO",
        "style": style if style in FORMATS else "json",
    }


def configure(config: dict[str, Any]) -> None:
    """Django's LOGGING_CONFIG callable: sets up structlog and the standard library's logging alike."""
    is_json = config["style"] == "json"
    structlog.configure(
        processors=[*_SHARED, structlog.processors.format_exc_info, _encode if is_json else _render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(config["level"])),
        # Bytes in one write: half the price of text, and one is paid for every request.
        logger_factory=structlog.BytesLoggerFactory(_forgiving(sys.stderr.buffer))
        if is_json
        else structlog.WriteLoggerFactory(_forgiving(sys.stderr)),
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "structured": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": [
                        structlog.stdlib.add_logger_name,
                        structlog.stdlib.PositionalArgumentsFormatter(),
                        _conceal,
                        *_SHARED,
                    ],
                    "processors": [
                        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                        structlog.processors.format_exc_info,
                        (lambda *event: _encode(*event).decode()) if is_json else _render,
                    ],
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
            "root": {"handlers": ["stderr"], "level": config["level"]},
            "loggers": {
                name: {"level": max(lowest, config["level"], key=LEVELS.index), "handlers": []}
                for name, lowest in LOWEST.items()
            },
        }
    )


def logs_info() -> bool:
    """Whether the configured level has lines of level INFO."""
    return logging.getLogger().isEnabledFor(logging.INFO)


def info_line(event: str, facts: dict[str, Any]) -> bytes:
    """An event of level INFO as a line, by the configured processors. For who writes many: it saves the way
    through a logger. Ask `logs_info` first.
    """
    facts["event"] = event
    rendered: Any = facts
    for processor in _info_processors():
        rendered = processor(None, "info", rendered)
    return rendered if isinstance(rendered, bytes) else str(rendered).encode()


@cache
def _info_processors() -> list[structlog.typing.Processor]:
    processors: list[structlog.typing.Processor] = structlog.get_config()["processors"]
    return processors


def write_lines(lines: list[bytes]) -> None:
    """Lines to standard error, in one write."""
    stream = _forgiving(sys.stderr.buffer)
    stream.write(b"".join(line + b"\n" for line in lines))
    stream.flush()


class _Forgiving:
    """The log's stream. On a full disk, or where its reader has gone, lines are lost, and nothing else: who
    says that something has failed must not fail of that.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: Any) -> None:
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


_forgiving: Callable[[Any], Any] = _Forgiving
_encoder = msgspec.json.Encoder(enc_hook=str)
_renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())


def _render(logger: Any, method: str, event: structlog.typing.EventDict) -> str:
    """For a terminal, which obeys control characters: those of others are shown, and do nothing."""
    shown = {key: _shown(value) if isinstance(value, str) else value for key, value in event.items()}
    return _renderer(logger, method, shown)


def _shown(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in "\n\t" else repr(each)[1:-1] for each in text)


def _encode(logger: Any, method: str, event: structlog.typing.EventDict) -> bytes:
    try:
        return _encoder.encode(event)
    except (ValueError, OverflowError, TypeError):  # what JSON cannot say: whoever logs must not fail for it
        return _encoder.encode({key: ascii(value) for key, value in event.items()})

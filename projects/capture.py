"""What a project says of keeping the bodies of its requests: nothing is kept, until somebody turns it on."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q, TextChoices

from projects.lifetime import ttl_text

CAPTURE = (
    "capture_policy",
    "capture_sample",
    "capture_max_bytes",
    "capture_retention",
    "capture_redacted",
    "capture_redacts_addresses",
)
MIN_BYTES = 1024
MIN_RETENTION = timedelta(hours=1)
DEFAULT_RETENTION = timedelta(days=7)
MAX_NAMES = 100
ANYWHERE = "**."
"""What begins so is a member's name, wherever it stands."""

_NAME = re.compile(r"(\*\*\.[A-Za-z0-9_-]+|[A-Za-z0-9_-]+(\[\])?(\.[A-Za-z0-9_-]+(\[\])?){0,7})", re.ASCII)
MAX_NAME = 200


class CapturePolicy(TextChoices):
    """Of which requests the bodies are kept."""

    OFF = "off", "none"
    FAILURES = "failures", "those that did not go well"
    """As usage.sampling.went_well has it."""
    ALL = "all", "all"


@dataclass(frozen=True, slots=True)
class CaptureRule:
    """What the data plane needs to know of a project that captures."""

    only_failures: bool
    sample: float
    """From 0 to 1: the share of the requests."""
    max_bytes: int
    """Of each body."""
    redacted: tuple[str, ...]
    redacts_addresses: bool


def validate_names(value: object) -> None:
    """Raises ValidationError."""
    if not isinstance(value, list) or len(value) > MAX_NAMES:
        raise ValidationError(f"This is a list of at most {MAX_NAMES} names.")
    for name in value:
        if not isinstance(name, str) or len(name) > MAX_NAME or not _NAME.fullmatch(name):
            raise ValidationError(
                "A name is written as messages[].content from the top of a body, or as **.content for a "
                "member that is called so anywhere."
            )


class Capturing(models.Model):
    capture_policy = models.CharField(
        "bodies that are kept",
        max_length=10,
        choices=CapturePolicy.choices,
        default=CapturePolicy.OFF,
        help_text="Of requests and answers, redacted and encrypted: docs/capture.md.",
    )
    capture_sample = models.FloatField(
        "share of the requests",
        default=1.0,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
        help_text="From 0 to 1, such as 0.1 for every tenth.",
    )
    capture_max_bytes = models.PositiveIntegerField(
        "of each body at most (bytes)",
        default=64 * 1024,
        validators=[MinValueValidator(MIN_BYTES)],
        help_text="What is longer is cut there. At most CAPTURE_MAX_BYTES.",
    )
    capture_retention = models.DurationField(
        "kept for",
        default=DEFAULT_RETENTION,
        validators=[MinValueValidator(MIN_RETENTION)],
        help_text="Then they are deleted. At most CAPTURE_MAX_RETENTION.",
    )
    capture_redacted = models.JSONField(
        "redacted",
        default=list,
        blank=True,
        validators=[validate_names],
        help_text="Members whose values are not kept, besides what looks like a secret.",
    )
    capture_redacts_addresses = models.BooleanField(
        "redact e-mail addresses", default=True, help_text="Wherever one stands in a text."
    )

    class Meta:
        abstract = True
        constraints = [
            models.CheckConstraint(
                condition=Q(capture_policy__in=CapturePolicy.values),
                name="%(class)s_capture_policy_is_known",
            ),
            models.CheckConstraint(
                condition=Q(
                    capture_sample__gte=0,
                    capture_sample__lte=1,
                    capture_max_bytes__gte=MIN_BYTES,
                ),
                name="%(class)s_capture_is_bounded",
            ),
        ]


def check_capture(project: Capturing, edited: Iterable[str]) -> None:
    """Whether what was edited is within what this installation permits; what was permitted before stands in
    the way of no other edit. Raises ValidationError, by field.
    """
    edited, problems = set(edited), {}
    if "capture_max_bytes" in edited and project.capture_max_bytes > settings.CAPTURE_MAX_BYTES:
        problems["capture_max_bytes"] = f"At most {settings.CAPTURE_MAX_BYTES}, as CAPTURE_MAX_BYTES says."
    if "capture_retention" in edited and project.capture_retention > settings.CAPTURE_MAX_RETENTION:
        longest = ttl_text(settings.CAPTURE_MAX_RETENTION)
        problems["capture_retention"] = f"At most {longest}, as CAPTURE_MAX_RETENTION says."
    if problems:
        raise ValidationError(problems)


def retention_of(project: Capturing) -> timedelta:
    """As long as both it and this installation permit."""
    return min(project.capture_retention, settings.CAPTURE_MAX_RETENTION)


def rule_of(project: Capturing) -> CaptureRule | None:
    """None: nothing is kept."""
    if project.capture_policy == CapturePolicy.OFF or not project.capture_sample:
        return None
    return CaptureRule(
        only_failures=project.capture_policy == CapturePolicy.FAILURES,
        sample=project.capture_sample,
        max_bytes=min(project.capture_max_bytes, settings.CAPTURE_MAX_BYTES),
        redacted=tuple(project.capture_redacted),
        redacts_addresses=project.capture_redacts_addresses,
    )


def capture_facts(project: Capturing) -> dict[str, Any]:
    """For commands and the management API."""
    facts = {name: getattr(project, name) for name in CAPTURE}
    return {**facts, "capture_retention": ttl_text(project.capture_retention)}

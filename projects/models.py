"""Project: who shares upstream keys. UpstreamKey: one of them, encrypted, never shown again."""

import re
from collections.abc import Collection
from datetime import datetime
from typing import Self
from urllib.parse import urlsplit
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator, URLValidator
from django.db import models
from django.db.models import Q, TextChoices
from uuid_utils.compat import uuid7

from projects.access import Person, memberships_of, sees_all
from projects.capture import Capturing
from projects.concealed import Concealed
from projects.encryption import decrypt, encrypt
from projects.limits import Limited
from projects.membership import Membership
from projects.rules import validate_rules

__all__ = [
    "DeathPolicy",
    "DisconnectPolicy",
    "Membership",
    "Project",
    "UnpricedPolicy",
    "UpstreamKey",
    "validate_base_url",
    "validate_key",
]

validate_key = RegexValidator(
    r"^[\x21-\x7e]{8,512}\Z", "An upstream key is 8 to 512 printable ASCII characters, without spaces."
)

validate_header_value = RegexValidator(r"^[\x21-\x7e]+\Z", "Printable ASCII characters without spaces.")
MAX_WEIGHT = 1000
_ONE_WORD = re.compile(r"[a-z0-9]([a-z0-9_-]*[a-z0-9])?")


def validate_base_url(value: str) -> None:
    """An http(s) URL and nothing that could be a secret: it is shown, logged and audited."""
    URLValidator(schemes=["http", "https"])(_with_domain(value))
    parts = urlsplit(value)
    if parts.username is not None or "?" in value or "#" in value:
        raise ValidationError("A base URL has no user name, password, query or fragment.")
    try:
        _ = parts.port
    except ValueError:
        raise ValidationError("A port is at most 65535.") from None


def _with_domain(url: str) -> str:
    """The names of machines and containers are one word, which Django takes for no host."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    if parts.hostname is None or not _ONE_WORD.fullmatch(parts.hostname) or parts.username is not None:
        return url
    if any(character <= " " for character in url):  # which urlsplit would silently drop
        return url
    port = parts.netloc[len(parts.hostname) :]
    return parts._replace(netloc=f"localhost{port}").geturl()


class ProjectQuerySet(models.QuerySet["Project"]):
    def named(self, name_or_id: str) -> Self:
        """The project with this id or name, as a person would type it. An id wins over a name like it."""
        try:
            by_id = self.filter(id=UUID(name_or_id))
        except ValueError:
            return self.filter(name=name_or_id)
        return by_id if by_id.exists() else self.filter(name=name_or_id)

    def visible_to(self, user: Person) -> Self:
        """All, to superusers and the role `admin`; else those that the person is a member of."""
        return self if sees_all(user) else self.filter(id__in=memberships_of(user).values("project_id"))

    def without_provider(self, configured: Collection[str]) -> Self:
        """Those that name a provider which is not configured."""
        return self.exclude(provider="").exclude(provider__in=configured)


class DeathPolicy(TextChoices):
    """What becomes of the running requests of a token that dies."""

    CUT = "cut", "cut"
    """They end within 2 s, with an error."""
    FINISH = "finish", "let finish"


class DisconnectPolicy(TextChoices):
    """What becomes of a request whose client hangs up while upstream works for it."""

    CANCEL = "cancel", "cancel"
    """Upstream's connection is closed at once; what it has used is estimated."""
    DRAIN = "drain", "read on"
    """Its answer is read on for up to `drain_seconds`, to learn what it has used."""


MAX_DRAIN_SECONDS = 600


class UnpricedPolicy(TextChoices):
    """What becomes of a request whose model has no known price."""

    ALLOW = "allow", "allow"
    """It passes, costs the budgets nothing, and is listed as unpriced."""
    REFUSE = "refuse", "refuse"
    FLAT = "flat", "charge a flat price"
    """It passes, and `flat_price_microusd` is charged."""


class Project(Limited, Capturing):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=100, unique=True)
    base_url = models.CharField(
        "base URL",
        max_length=255,
        blank=True,
        help_text="Where this project's requests go, as an SDK would be given it (with /v1). "
        "Empty: its provider's.",
        validators=[validate_base_url],
    )
    provider = models.CharField(
        max_length=50,
        blank=True,
        help_text="As PROVIDERS_FILE names it. Empty: the first that is named there.",
    )
    upstream_organization = models.CharField(
        max_length=100,
        blank=True,
        help_text="Sent upstream as OpenAI-Organization. Empty: none is sent.",
        validators=[validate_header_value],
    )
    upstream_project = models.CharField(
        max_length=100,
        blank=True,
        help_text="Sent upstream as OpenAI-Project. Empty: none is sent.",
        validators=[validate_header_value],
    )
    is_active = models.BooleanField("active", default=True)
    deactivated_at = models.DateTimeField(null=True, blank=True, editable=False)

    default_ttl = models.DurationField(
        "default lifetime", null=True, blank=True, help_text="Of its tokens. Empty: TOKEN_DEFAULT_TTL."
    )
    longest_ttl = models.DurationField(
        "longest lifetime", null=True, blank=True, help_text="That a token may have. Empty: 365 days."
    )
    permits_never = models.BooleanField(
        "permits tokens that never expire", default=False, help_text="Only then may a token be issued so."
    )
    permits_renewal = models.BooleanField(
        "permits renewal",
        default=False,
        help_text="Holders may renew their tokens, up to the longest lifetime from the day of issue.",
    )
    permits_leading_past_us = models.BooleanField(
        "permits endpoints that lead past the proxy",
        default=False,
        help_text="Those hand out secrets, such as those of Realtime sessions, with which clients talk to "
        "upstream directly: nothing of that is counted, limited or cut.",
    )
    death_policy = models.CharField(
        "when a token dies, its running requests",
        max_length=10,
        choices=DeathPolicy.choices,
        default=DeathPolicy.CUT,
        help_text="When it is revoked, expires, uses up its budget, or when the project is switched off.",
    )
    disconnect_policy = models.CharField(
        "when a client hangs up, its request",
        max_length=10,
        choices=DisconnectPolicy.choices,
        default=DisconnectPolicy.CANCEL,
        help_text="Read on: upstream's answer is read to learn what it has used, in place of an estimate.",
    )
    drain_seconds = models.PositiveSmallIntegerField(
        "read on for (seconds)",
        default=60,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_DRAIN_SECONDS)],
        help_text=f"At most {MAX_DRAIN_SECONDS}.",
    )
    unpriced_policy = models.CharField(
        "models without a price", max_length=10, choices=UnpricedPolicy.choices, default=UnpricedPolicy.ALLOW
    )
    flat_price_microusd = models.PositiveBigIntegerField(
        "flat price", null=True, blank=True, help_text="Of a request whose model has no price."
    )

    rules = models.JSONField(
        default=dict,
        blank=True,
        help_text="What its tokens may ask for, as JSON: docs/policy.md.",
        validators=[validate_rules],
    )

    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True, db_index=True)

    objects = ProjectQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        permissions = [("see_all_projects", "Can see all projects")]
        constraints = [
            *Limited.Meta.constraints,
            *Capturing.Meta.constraints,
            models.CheckConstraint(
                condition=Q(death_policy__in=DeathPolicy.values), name="project_death_policy_is_known"
            ),
            models.CheckConstraint(
                condition=Q(disconnect_policy__in=DisconnectPolicy.values),
                name="project_disconnect_policy_is_known",
            ),
            models.CheckConstraint(
                condition=Q(drain_seconds__gte=1, drain_seconds__lte=MAX_DRAIN_SECONDS),
                name="project_drain_is_bounded",
            ),
            models.CheckConstraint(
                condition=Q(unpriced_policy__in=[UnpricedPolicy.ALLOW, UnpricedPolicy.REFUSE])
                | Q(unpriced_policy=UnpricedPolicy.FLAT, flat_price_microusd__isnull=False),
                name="project_flat_price_is_set",
            ),
            models.CheckConstraint(condition=~Q(name=""), name="project_has_a_name"),
            models.CheckConstraint(
                condition=Q(is_active=True, deactivated_at=None)
                | Q(is_active=False, deactivated_at__isnull=False),
                name="project_deactivation_has_its_instant",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def set_active(self, active: bool, now: datetime) -> bool:
        """Switch the project on or off; True if that was a change. The caller saves."""
        if self.is_active == active:
            return False
        self.is_active = active
        self.deactivated_at = None if active else now
        return True


class UpstreamKey(Concealed):
    AUDITED_AS = "upstream_key"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="upstream_keys")
    last_four = models.CharField(max_length=4, editable=False)
    name = models.CharField(max_length=100, blank=True, help_text="To tell it from the others.")
    weight = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_WEIGHT)],
        help_text="How often it is used, beside the project's other keys.",
    )
    is_active = models.BooleanField("active", default=True)
    last_failure_code = models.CharField(max_length=50, blank=True, editable=False)
    last_failed_at = models.DateTimeField(null=True, editable=False)
    cooling_until = models.DateTimeField(null=True, editable=False)
    """These three are what a serving process has seen last; they do not move `updated_at`."""
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True, db_index=True)

    class Meta:
        ordering = ["created_at"]
        constraints = [
            models.CheckConstraint(condition=~Q(ciphertext=""), name="upstream_key_is_not_empty"),
            models.CheckConstraint(
                condition=Q(weight__gte=1, weight__lte=MAX_WEIGHT), name="upstream_key_weight_is_bounded"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} …{self.last_four}" if self.name else f"…{self.last_four}"

    def conceal(self, plain: str) -> None:
        """Take `plain` as this key's value, encrypted. The caller has validated it, and saves."""
        self.ciphertext = encrypt(plain)
        self.last_four = plain[-4:]

    def reveal(self) -> str:
        """The plain key, for sending upstream only. Raises encryption.UndecryptableError."""
        return decrypt(self.ciphertext)

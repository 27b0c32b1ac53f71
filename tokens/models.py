"""AccessToken: a withering token. Only its digest is stored; the plain text exists once, at issue."""

import re
from datetime import datetime
from typing import Self
from uuid import UUID

from django.db import models
from django.db.models import ExpressionWrapper, F, Q
from django.db.models.functions import Coalesce, Greatest

from projects.access import Person, within_reach
from projects.limits import Limited
from projects.models import Project
from projects.rules import validate_rules
from tokens.exchange.models import SpentAssertion, TrustRule
from tokens.format import PREFIX, digest, may_be_known, normalise

__all__ = ["STATES", "AccessToken", "AccessTokenQuerySet", "SpentAssertion", "TrustRule"]

STATES = ("active", "exhausted", "idle", "expired", "inactive", "revoked")


class AccessTokenQuerySet(models.QuerySet["AccessToken"]):
    def of(self, id_or_plain: str) -> Self:
        """The token with this id or plain text (or that before its rotation), as a person would paste it."""
        text = normalise(id_or_plain)
        if not may_be_known(text):
            return self._with_id(text)
        return self.filter(Q(digest=digest(text)) | Q(previous_digest=digest(text)))

    def _with_id(self, text: str) -> Self:
        try:
            return self.filter(id=UUID(text))
        except ValueError:
            return self.none()

    def visible_to(self, user: Person) -> Self:
        """Of the projects that the person can see."""
        return within_reach(self, user)

    def named_like(self, pattern: str) -> Self:
        """Whose whole name fits: `*` stands for any text, `?` for one character."""
        wildcards = {"*": ".*", "?": "."}
        expression = "".join(wildcards.get(character) or re.escape(character) for character in pattern)
        return self.filter(name__regex=f"^{expression}$")

    def older_than(self, instant: datetime) -> Self:
        return self.filter(created_at__lte=instant)

    def unused_since(self, instant: datetime) -> Self:
        """Last used by then; if never, issued by then."""
        return self.alias(_last_used_at=Coalesce("last_used_at", "created_at")).filter(
            _last_used_at__lte=instant
        )

    def expired(self, now: datetime) -> Self:
        """At the end of their lifetime or of their idle lifetime; revoked ones too."""
        return self._with_idle_expiry().filter(Q(expires_at__lte=now) | Q(_idle_expires_at__lte=now))

    def dead_before(self, instant: datetime) -> Self:
        """Revoked, expired or idle for too long by then."""
        return self._with_idle_expiry().filter(
            Q(revoked_at__lte=instant) | Q(expires_at__lte=instant) | Q(_idle_expires_at__lte=instant)
        )

    def in_state(self, state: str, now: datetime) -> Self:
        """Whose `state` is this one of STATES."""
        revoked = Q(revoked_at__isnull=False)
        expired = Q(expires_at__isnull=False, expires_at__lte=now)
        idle = Q(_idle_expires_at__isnull=False, _idle_expires_at__lte=now)
        inactive = Q(is_active=False)
        exhausted = Q(max_requests__isnull=False, request_count__gte=F("max_requests"))
        rows = self._with_idle_expiry()
        # As `AccessToken.state` asks: each only where none of those before it holds.
        for name, holds in (
            ("revoked", revoked),
            ("expired", expired),
            ("idle", idle),
            ("inactive", inactive),
            ("exhausted", exhausted),
        ):
            if name == state:
                return rows.filter(holds)
            rows = rows.exclude(holds)
        return rows

    def _with_idle_expiry(self) -> Self:
        """AccessToken.idle_expires_at, for the database to compare. Greatest is NULL where any of them is."""
        sign_of_life = Greatest(
            "created_at", Coalesce("renewed_at", "created_at"), Coalesce("last_used_at", "created_at")
        )
        idle_expires_at = ExpressionWrapper(sign_of_life + F("idle_ttl"), models.DateTimeField())
        return self.alias(_idle_expires_at=idle_expires_at)


class AccessToken(Limited):
    id = models.UUIDField(primary_key=True, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    prefix = models.CharField(max_length=6, blank=True, default=PREFIX, db_default=PREFIX, editable=False)
    """Of its plain text. Empty, as `last_four` may be: of an imported one that is not known."""
    last_four = models.CharField(max_length=4, editable=False)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="access_tokens")
    name = models.CharField(max_length=100, blank=True)
    ttl = models.DurationField(
        "lifetime",
        null=True,
        blank=True,
        editable=False,
        help_text="As issued; a renewal's. Empty: never ends.",
    )
    expires_at = models.DateTimeField(null=True, blank=True, db_index=True, help_text="Empty: never.")
    idle_ttl = models.DurationField(
        "idle lifetime",
        null=True,
        blank=True,
        help_text="It dies when unused for so long. Empty: it does not.",
    )
    rules = models.JSONField(
        default=dict,
        blank=True,
        help_text="What it may ask for, within the rules of its project: docs/policy.md.",
        validators=[validate_rules],
    )
    is_active = models.BooleanField("active", default=True, db_index=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    request_count = models.PositiveBigIntegerField(default=0, editable=False)
    previous_digest = models.CharField(  # noqa: DJ001 (there is none: an empty text would be one)
        max_length=64, null=True, blank=True, editable=False, db_index=True
    )
    previous_digest_dies_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    renewed_at = models.DateTimeField(null=True, blank=True, editable=False)
    updated_at = models.DateTimeField(auto_now=True, db_index=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = AccessTokenQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(revoked_at=None) | Q(is_active=False), name="access_token_revoked_is_inactive"
            ),
            *Limited.Meta.constraints,
            models.CheckConstraint(
                condition=Q(previous_digest=None, previous_digest_dies_at=None)
                | Q(previous_digest__isnull=False, previous_digest_dies_at__isnull=False),
                name="access_token_previous_digest_dies",
            ),
            models.CheckConstraint(condition=~Q(digest=""), name="access_token_has_a_digest"),
        ]

    def __str__(self) -> str:
        return self.name or self.display

    @property
    def display(self) -> str:
        """What may be shown of the token: as much of its plain text as is known, `…` if nothing is."""
        return f"{self.prefix}…{self.last_four}"

    @property
    def idle_expires_at(self) -> datetime | None:
        """When it dies if it stays unused; None if it does not die of that."""
        if self.idle_ttl is None:
            return None
        signs_of_life = (self.created_at, self.renewed_at, self.last_used_at)
        return max(instant for instant in signs_of_life if instant is not None) + self.idle_ttl

    def state(self, now: datetime) -> str:
        """One word for people, one of STATES."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= now:
            return "expired"
        if self.idle_expires_at is not None and self.idle_expires_at <= now:
            return "idle"
        if not self.is_active:
            return "inactive"
        if self.max_requests is not None and self.request_count >= self.max_requests:
            return "exhausted"
        return "active"

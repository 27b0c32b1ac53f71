"""AccessToken: a withering token. Only its digest is stored; the plain text exists once, at issue."""

from datetime import datetime
from typing import Self
from uuid import UUID

from django.db import models
from django.db.models import Q

from projects.models import Project
from tokens.format import PREFIX, MalformedTokenError, digest, normalise, parse


class AccessTokenQuerySet(models.QuerySet["AccessToken"]):
    def of(self, id_or_plain: str) -> Self:
        """The token with this id or this plain text, as a person would paste it."""
        text = normalise(id_or_plain)
        try:
            parse(text)
        except MalformedTokenError:
            return self._with_id(text)
        return self.filter(digest=digest(text))

    def _with_id(self, text: str) -> Self:
        try:
            return self.filter(id=UUID(text))
        except ValueError:
            return self.none()


class AccessToken(models.Model):
    id = models.UUIDField(primary_key=True, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    last_four = models.CharField(max_length=4, editable=False)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="access_tokens")
    name = models.CharField(max_length=100, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True, db_index=True, help_text="Empty: never.")
    is_active = models.BooleanField("active", default=True, db_index=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    request_count = models.PositiveBigIntegerField(default=0, editable=False)
    max_requests = models.PositiveBigIntegerField(null=True, blank=True, help_text="Empty: no limit.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True, db_index=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = AccessTokenQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(revoked_at=None) | Q(is_active=False), name="access_token_revoked_is_inactive"
            ),
            models.CheckConstraint(
                condition=Q(max_requests=None) | Q(max_requests__gte=1), name="access_token_cap_is_positive"
            ),
            models.CheckConstraint(condition=~Q(digest=""), name="access_token_has_a_digest"),
        ]

    def __str__(self) -> str:
        return self.name or self.display

    @property
    def display(self) -> str:
        """What may be shown of the token."""
        return f"{PREFIX}…{self.last_four}"

    def state(self, now: datetime) -> str:
        """One word for people: active, revoked, inactive, expired or exhausted."""
        if self.revoked_at is not None:
            return "revoked"
        if not self.is_active:
            return "inactive"
        if self.expires_at is not None and self.expires_at <= now:
            return "expired"
        if self.max_requests is not None and self.request_count >= self.max_requests:
            return "exhausted"
        return "active"

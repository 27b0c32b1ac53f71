"""ScheduledTask: when something that the scheduler does was last done, and by whom it is being done. ApiKey:
what a person's programs manage the proxy with. IdempotentAnswer: what one of them was told, should it ask
again.
"""

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import Q


class ScheduledTask(models.Model):
    name = models.CharField(max_length=30, primary_key=True)
    last_started_at = models.DateTimeField(null=True)
    last_finished_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=500, blank=True)
    holder = models.CharField(
        max_length=100, blank=True, help_text="The process that runs it, or ran it last."
    )
    lease_until = models.DateTimeField(null=True, help_text="Renewed while it runs; empty: it does not run.")

    def __str__(self) -> str:
        return self.name


class ApiKey(models.Model):
    """Only the digest is stored; the plain text exists once, when it is made (`llm_proxy_site.api.keys`)."""

    id = models.UUIDField(primary_key=True, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    last_four = models.CharField(max_length=4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100, help_text="What will use it.")
    scopes = models.JSONField(default=list, help_text="What it is good for, as far as its person is.")
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="To the minute or so."
    )

    class Meta:
        verbose_name = "API key"
        ordering = ["-created_at"]
        constraints = [models.CheckConstraint(condition=~Q(digest=""), name="api_key_has_a_digest")]

    def __str__(self) -> str:
        return self.name

    def state(self, now: datetime) -> str:
        """One word for people: active, revoked or expired."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at <= now else "active"


class IdempotentAnswer(models.Model):
    """Without the secrets that it had. Written in the transaction of what it tells of."""

    id = models.BigAutoField(primary_key=True)
    caller = models.CharField(max_length=40, help_text="Who asked: an API key's id, or the management token.")
    key = models.CharField(max_length=255, help_text="The Idempotency-Key.")
    fingerprint = models.CharField(max_length=64, help_text="Of the request.")
    status = models.PositiveSmallIntegerField(default=0)
    body = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["caller", "key"], name="idempotent_answer_is_one")]

    def __str__(self) -> str:
        return str(self.id)

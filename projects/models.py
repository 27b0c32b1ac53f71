"""Project: who shares upstream keys. UpstreamKey: one of them, encrypted, never shown again."""

from datetime import datetime
from typing import Self
from urllib.parse import urlsplit
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator, URLValidator
from django.db import models
from django.db.models import Q
from uuid_utils.compat import uuid7

from projects.encryption import decrypt, encrypt

validate_key = RegexValidator(r"^[\x21-\x7e]{8,512}\Z", "An upstream key is 8 to 512 printable characters.")


def validate_base_url(value: str) -> None:
    """An http(s) URL and nothing that could be a secret: it is shown, logged and audited."""
    URLValidator(schemes=["http", "https"])(value)
    if urlsplit(value).username is not None or "?" in value or "#" in value:
        raise ValidationError("A base URL has no user name, password, query or fragment.")


class ProjectQuerySet(models.QuerySet["Project"]):
    def named(self, name_or_id: str) -> Self:
        """The project with this id or name, as a person would type it. An id wins over a name like it."""
        try:
            by_id = self.filter(id=UUID(name_or_id))
        except ValueError:
            return self.filter(name=name_or_id)
        return by_id if by_id.exists() else self.filter(name=name_or_id)


class Project(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=100, unique=True)
    base_url = models.CharField(
        "base URL",
        max_length=255,
        blank=True,
        help_text="Where this project's requests go, as an SDK would be given it (with /v1). "
        "Empty: UPSTREAM_BASE_URL.",
        validators=[validate_base_url],
    )
    is_active = models.BooleanField("active", default=True)
    deactivated_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True, db_index=True)

    objects = ProjectQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
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


class UpstreamKey(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="upstream_keys")
    ciphertext = models.TextField(editable=False)
    last_four = models.CharField(max_length=4, editable=False)
    is_active = models.BooleanField("active", default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True, db_index=True)

    class Meta:
        ordering = ["created_at"]
        constraints = [
            models.CheckConstraint(condition=~Q(ciphertext=""), name="upstream_key_is_not_empty"),
        ]

    def __str__(self) -> str:
        return f"…{self.last_four}"

    def conceal(self, plain: str) -> None:
        """Take `plain` as this key's value, encrypted. The caller has validated it, and saves."""
        self.ciphertext = encrypt(plain)
        self.last_four = plain[-4:]

    def reveal(self) -> str:
        """The plain key, for sending upstream only. Raises encryption.UndecryptableError."""
        return decrypt(self.ciphertext)

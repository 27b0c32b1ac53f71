"""Identity: whom a provider knows by which subject, as which of our people."""

from django.conf import settings
from django.db import models
from django.db.models import Q


class Identity(models.Model):
    """Made once, by accounts.py; nothing else says that somebody elsewhere is somebody here."""

    LONGEST = 255

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="identities")
    issuer = models.CharField(max_length=LONGEST)
    subject = models.CharField(max_length=LONGEST, help_text="Unique at the issuer, and never given anew.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "identities"
        constraints = [
            models.UniqueConstraint(fields=["issuer", "subject"], name="sso_subject_is_one_person"),
            # An e-mail address that was given to somebody else does not bring them into an account.
            models.UniqueConstraint(fields=["user", "issuer"], name="sso_person_is_one_subject"),
            models.CheckConstraint(condition=~Q(issuer="") & ~Q(subject=""), name="sso_identity_is_named"),
        ]

    def __str__(self) -> str:
        return f"{self.issuer}#{self.subject}"

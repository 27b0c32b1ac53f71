"""Membership: a person sees a project. What they may do there is what their role says (access.py)."""

from django.conf import settings
from django.db import models


class Membership(models.Model):
    id = models.BigAutoField(primary_key=True)
    project = models.ForeignKey("projects.Project", on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="project_memberships"
    )
    created_at = models.DateTimeField("since", auto_now_add=True)

    class Meta:
        ordering = ["created_at"]
        constraints = [
            models.UniqueConstraint(fields=["project", "user"], name="membership_is_one"),
        ]

    def __str__(self) -> str:
        return str(self.user)

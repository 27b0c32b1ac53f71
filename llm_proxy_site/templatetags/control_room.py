"""What pages of projects and tokens say of usage, which those apps know nothing of."""

from django import template
from django.utils import timezone

from llm_proxy_site.control_room.budgets import Budget, budgets_of
from projects.models import Project
from tokens.models import AccessToken

register = template.Library()


@register.simple_tag
def budgets(subject: Project | AccessToken | None) -> list[Budget]:
    """With what is spent of them; none of what is only being made."""
    return budgets_of(subject, timezone.now()) if subject else []

"""The admin site's pages that a GET shows: their names, and where they are."""

from django.urls import reverse

from projects.models import Project
from tokens.models import AccessToken
from usage.models import UsageRecord


def pages_of(project: Project, token: AccessToken, record: UsageRecord) -> dict[str, str]:
    """Paths by name."""
    return {
        "dashboard": reverse("admin:index"),
        "projects": reverse("admin:projects_project_changelist"),
        "project": reverse("admin:projects_project_change", args=[project.pk]),
        "project-add": reverse("admin:projects_project_add"),
        "project-usage": reverse("project_usage", args=[project.pk]),
        "project-revoke": reverse("revoke_tokens", args=[project.pk]),
        "project-delete-bodies": reverse("delete_captures", args=[project.pk]),
        "tokens": reverse("admin:tokens_accesstoken_changelist"),
        "token": reverse("admin:tokens_accesstoken_change", args=[token.pk]),
        "token-issue": reverse("admin:tokens_accesstoken_add"),
        "token-usage": reverse("token_usage", args=[token.pk]),
        "trust-rules": reverse("admin:tokens_trustrule_changelist"),
        "trust-rule-add": reverse("admin:tokens_trustrule_add"),
        "requests": reverse("admin:usage_usagerecord_changelist"),
        "request": reverse("admin:usage_usagerecord_change", args=[record.pk]),
        "request-bodies": reverse("admin:usage_usagerecord_change", args=[record.pk]) + "?bodies=1",
        "prices": reverse("admin:usage_modelprice_changelist"),
        "price-add": reverse("admin:usage_modelprice_add"),
        "live": reverse("live"),
        "audit": reverse("admin:audit_auditevent_changelist"),
        "people": reverse("admin:auth_user_changelist"),
        "person-add": reverse("admin:auth_user_add"),
        "api-keys": reverse("admin:llm_proxy_site_apikey_changelist"),
        "api-key-add": reverse("admin:llm_proxy_site_apikey_add"),
        "second-factor": reverse("admin:second_factor"),
        "password": reverse("admin:password_change"),
    }

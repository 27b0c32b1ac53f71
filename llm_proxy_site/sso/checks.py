"""System checks: what keeps single sign-on from working, or from keeping strangers out."""

import ssl
from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, register

from llm_proxy_site.checks import TAG
from llm_proxy_site.sso.claims import ANYBODY
from tokens.exchange.issuers import is_fetchable

NEEDED = ("SSO_ISSUER", "SSO_CLIENT_ID", "SSO_CLIENT_SECRET")
HINT = "docs/people.md#single-sign-on shows a whole configuration."


@register(TAG)
def check_sso(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    missing = [name for name in NEEDED if not getattr(settings, name)]
    if len(missing) == len(NEEDED):
        return (
            [_error("SSO_ONLY is set, but no provider: nobody could sign in.", 42)]
            if settings.SSO_ONLY
            else []
        )
    problems = [_error(f"Single sign-on is configured, but {name} is not set.", 40) for name in missing]
    if settings.SSO_ISSUER and not _is_issuer(settings.SSO_ISSUER):
        hint = "Give it exactly as the provider's discovery document has it in `issuer`, such as https://id.example.com."
        problems.append(_error("SSO_ISSUER is no https URL.", 41, hint))
    if not _values_of_roles():
        hint = (
            "Set SSO_VIEWERS, SSO_OPERATORS or SSO_ADMINS to the values of SSO_ROLE_CLAIM that give the role."
        )
        problems.append(_error("Single sign-on gives nobody a role: nobody could sign in by it.", 43, hint))
    if "openid" not in settings.SSO_SCOPES.split():
        problems.append(_error("SSO_SCOPES lacks `openid`: the provider would not say who signs in.", 44))
    if settings.SSO_CA_FILE and not _holds_certificates(settings.SSO_CA_FILE):
        hint = "Give a file of PEM certificates: the authority of your provider."
        problems.append(_error("SSO_CA_FILE holds no certificates that can be read.", 45, hint))
    if ANYBODY in _values_of_roles() and not settings.SSO_EMAIL_DOMAINS:
        problems.append(_of_anybody())
    return problems


def _error(message: str, number: int, hint: str = HINT) -> CheckMessage:
    return Error(message, hint=hint, id=f"llm_proxy.E{number:03}")


def _of_anybody() -> CheckMessage:
    return checks.Warning(
        "Whoever the sign-in provider knows has a role here: one is given to `*`.",
        hint="At a public provider that is everybody. Set SSO_EMAIL_DOMAINS, or name groups.",
        id="llm_proxy.W040",
    )


def _values_of_roles() -> list[str]:
    return [*settings.SSO_VIEWERS, *settings.SSO_OPERATORS, *settings.SSO_ADMINS]


def _is_issuer(url: str) -> bool:
    """On this machine it needs no https: what is named here is not a stranger's word."""
    return "?" not in url and is_fetchable(url, permits_loopback=True)


def _holds_certificates(file: str) -> bool:
    try:
        ssl.create_default_context(cafile=file)
    except OSError:  # SSLError is one
        return False
    return True

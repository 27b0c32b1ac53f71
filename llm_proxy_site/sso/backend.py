"""Marks sessions of those whom the provider has vouched for: Django keeps the name with the session."""

from typing import Any

from django.contrib.auth import BACKEND_SESSION_KEY
from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest

BACKEND = "llm_proxy_site.sso.backend.SsoBackend"


class SsoBackend(ModelBackend):
    """Permissions and who is active, as Django has them. No password lets anybody in here."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> None:
        return None


def is_vouched_for(request: HttpRequest) -> bool:
    """Whether this session was begun by the provider, which asks for a second factor itself."""
    return bool(request.session.get(BACKEND_SESSION_KEY) == BACKEND)

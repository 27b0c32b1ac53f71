"""Who opens the feed: the person of a session that Django's own middlewares would let see the page.

Not Channels' AuthMiddleware, which asks once, when a WebSocket is opened: this is asked again and again, and
reads session, person and memberships anew each time.
"""

from dataclasses import dataclass
from importlib import import_module
from io import BytesIO
from uuid import UUID

from django.conf import settings
from django.contrib import admin
from django.contrib.auth import get_user
from django.contrib.auth.models import AnonymousUser, User
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from django_otp.middleware import OTPMiddleware

from projects.access import visible_project_ids
from proxy.types import Scope


@dataclass(frozen=True, slots=True)
class Visitor:
    project_ids: set[UUID] | None
    """Of the projects that they see; None: of all."""


def is_from_our_page(scope: Scope) -> bool:
    """By the rule for forms: only a page of this very origin, or of CSRF_TRUSTED_ORIGINS. Channels'
    AllowedHostsOriginValidator knows hosts only, and takes whatever else runs on one of them for ours.
    """
    request = _request(scope)
    rule = CsrfViewMiddleware(lambda request: HttpResponse())
    return "HTTP_ORIGIN" in request.META and rule._origin_verified(request)  # type: ignore[attr-defined]


def find_visitor(scope: Scope) -> Visitor | None:
    """None: nobody who may see requests. Raises django.db.Error. Not on the event loop."""
    request = _request(scope)
    sessions = import_module(settings.SESSION_ENGINE).SessionStore
    request.session = sessions(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
    request.user = get_user(request)
    found: Visitor | None = OTPMiddleware(_visitor_of)(request)  # which knows of the second factor
    return found


def may_watch(user: User | AnonymousUser) -> bool:
    return user.has_perm("usage.view_usagerecord")


def _visitor_of(request: HttpRequest) -> Visitor | None:
    if not admin.site.has_permission(request) or not may_watch(request.user):
        return None
    return Visitor(visible_project_ids(request.user))


def _request(scope: Scope) -> ASGIRequest:
    """The handshake, as Django sees a request."""
    scheme = "https" if scope.get("scheme") == "wss" else "http"
    return ASGIRequest({**scope, "type": "http", "method": "GET", "scheme": scheme}, BytesIO())

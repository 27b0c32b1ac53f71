"""Who calls: `Authorization: Bearer`, and nothing else. No cookie is looked at, so nothing can be forged."""

from secrets import compare_digest

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from ninja.security.http import HttpAuthBase

from llm_proxy_site.api import throttling
from llm_proxy_site.api.caller import MANAGEMENT, Caller
from llm_proxy_site.api.errors import AuthenticationError
from llm_proxy_site.api.keys import find_api_key
from llm_proxy_site.api.refused_keys import note_refused_key
from llm_proxy_site.api.scopes import ApiScope
from llm_proxy_site.people.requests import address_of

REFUSED = "Invalid API key. Send a valid one as `Authorization: Bearer sk-mg-...`."


class ApiKeyAuth(HttpAuthBase):
    """That a route needs a key with this scope, of a person with this permission."""

    openapi_scheme = "bearer"

    def __init__(self, scope: ApiScope, permission: str) -> None:
        super().__init__()
        self.scope = scope
        self.permission = permission

    def __call__(self, request: HttpRequest) -> Caller:
        caller = _identify(request)
        throttling.count_request(request, caller.id)
        caller.require(self.scope, self.permission)
        return caller


def needs(scope: ApiScope, permission: str) -> ApiKeyAuth:
    return ApiKeyAuth(scope, permission)


def _identify(request: HttpRequest) -> Caller:
    """Raises AuthenticationError, and RateLimitReached where the address has guessed too often."""
    scheme, _, plain = request.headers.get("Authorization", "").partition(" ")
    plain = plain.strip()
    if scheme.lower() != "bearer" or not plain:
        raise AuthenticationError(REFUSED)
    throttling.check_guesses(request)
    if settings.MANAGEMENT_TOKEN and compare_digest(plain.encode(), settings.MANAGEMENT_TOKEN.encode()):
        return MANAGEMENT
    key = find_api_key(plain, timezone.now())
    if key is None:
        throttling.count_guess(request)
        note_refused_key(plain, address_of(request))
        raise AuthenticationError(REFUSED)
    return Caller.with_key(key)

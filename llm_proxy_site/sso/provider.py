"""The OpenID Connect provider: the code flow with PKCE, state and nonce, by Authlib.

Import it late: Authlib takes a second, and most processes never need it. What is here beside it is what it
leaves to us: the issuer of the discovery document, the audience, and algorithms with a private key only.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from authlib.common.errors import AuthlibBaseError
from authlib.integrations.django_client import DjangoIntegration, DjangoOAuth2App
from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from joserfc.errors import JoseError

from llm_proxy_site.sso.claims import read
from llm_proxy_site.sso.errors import RefusedError, StrayError, UnavailableError
from tokens.exchange.issuers import discovery_url, is_fetchable
from tokens.exchange.jwks import CURVES, RSA, read_keys

FRESH_SECONDS = 300
"""For so long what the provider says of itself is believed, and its keys."""
TIMEOUT_SECONDS = 5
LEEWAY_SECONDS = 60
"""So much may the provider's clock differ from ours."""
ALGORITHMS = frozenset(RSA).union(*CURVES.values())
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
BY_FORM = "client_secret_post"

UNAVAILABLE = (OSError, ValueError, KeyError, TypeError, AttributeError)
"""The first are those of requests, too. The others are what comes of a document of another shape than Authlib
expects.
"""


@dataclass(frozen=True, slots=True)
class Arrival:
    claims: Mapping[str, Any]
    """Verified."""
    next: str
    """As `begin` was given it."""


def begin(request: HttpRequest, *, next: str) -> str:  # noqa: A002 (as Django calls it)
    """Where to send the browser. What must come back with it is in its session. Raises UnavailableError."""
    client, redirect_uri = _client(), _redirect_uri(request)
    try:
        begun = client.create_authorization_url(redirect_uri)
    except UNAVAILABLE as problem:
        raise _unavailable(problem) from None
    client.save_authorize_data(request, redirect_uri=redirect_uri, next=next, **begun)
    return str(begun["url"])


def finish(request: HttpRequest) -> Arrival:
    """Once for each `begin`. Raises SsoError."""
    client, state = _client(), request.GET.get("state", "")
    begun = client.framework.get_state_data(request.session, state)
    if begun is None:
        raise StrayError("This answer of the provider belongs to no attempt of yours. Try again.", "state")
    try:
        return Arrival(_claims(client, request), begun["next"])
    except AuthlibBaseError as problem:  # its own words are its caller's
        raise RefusedError("The provider has refused.", f"the provider: {_code(problem.error)}") from None
    except JoseError as problem:
        what = f"{problem.error}: {getattr(problem, 'claim', '')}".rstrip(": ")
        raise RefusedError("What the provider says of you is not valid.", what) from None
    except UNAVAILABLE as problem:
        raise _unavailable(problem) from None
    finally:
        client.framework.clear_state_data(request.session, state)


def _claims(client: "_Provider", request: HttpRequest) -> dict[str, Any]:
    token = client.authorize_access_token(
        request,
        claims_options={
            "iss": {"essential": True, "value": settings.SSO_ISSUER},
            "aud": {"essential": True, "value": settings.SSO_CLIENT_ID},
        },
        leeway=LEEWAY_SECONDS,
    )
    claims = dict(token["userinfo"])
    is_complete = "email" in claims and read(claims, settings.SSO_ROLE_CLAIM) is not None
    if is_complete or "userinfo_endpoint" not in client.server_metadata:
        return claims
    more = dict(client.userinfo(token=token))
    if more.get("sub") != claims["sub"]:  # OpenID Connect Core 1.0, section 5.3.2
        raise RefusedError("What the provider says of you is not valid.", "userinfo of somebody else")
    if "email" in claims:  # whether one address is verified says nothing of another
        more.pop("email_verified", None)
    return more | claims


class _Provider(DjangoOAuth2App):
    """Authlib's, which would take what a discovery document says for options of its own."""

    def fetch_jwk_set(self, force: bool = False) -> dict[str, Any]:
        """Without keys that cannot be used: one of an unknown kind would spoil the others."""
        entries = super().fetch_jwk_set(force)["keys"]
        return {"keys": [entry for entry in entries if read_keys({"keys": [entry]}).keys]}

    def load_server_metadata(self) -> dict[str, Any]:
        if "issuer" not in self.server_metadata:
            with self._get_session() as session:
                answer = session.request("GET", discovery_url(settings.SSO_ISSUER), withhold_token=True)
                answer.raise_for_status()
                self.server_metadata |= _metadata(answer.json())
        return dict(self.server_metadata)


def _metadata(document: Mapping[str, Any]) -> dict[str, Any]:
    """Raises ValueError, KeyError and what else a document brings about that is no such one."""
    if document["issuer"] != settings.SSO_ISSUER:
        raise ValueError("its discovery document is another issuer's")
    endpoints = {name: document[name] for name in ENDPOINTS}
    if document.get("userinfo_endpoint"):
        endpoints["userinfo_endpoint"] = document["userinfo_endpoint"]
    permits_loopback = not settings.SSO_ISSUER.startswith("https://")
    if not all(is_fetchable(url, permits_loopback=permits_loopback) for url in endpoints.values()):
        raise ValueError("its discovery document names no https URL of an endpoint")
    named = document.get("id_token_signing_alg_values_supported", ["RS256"])
    algorithms = sorted(ALGORITHMS.intersection(named))
    if not algorithms:
        raise ValueError("it signs with no private key")
    methods = document.get("token_endpoint_auth_methods_supported", [])
    is_by_form = BY_FORM in methods and "client_secret_basic" not in methods
    return {
        **endpoints,
        **({"token_endpoint_auth_method": BY_FORM} if is_by_form else {}),
        "id_token_signing_alg_values_supported": algorithms,
        "issuer": document["issuer"],
    }


def _client() -> _Provider:
    return _client_of(
        settings.SSO_ISSUER,
        settings.SSO_CLIENT_ID,
        settings.SSO_CLIENT_SECRET,
        settings.SSO_SCOPES,
        settings.SSO_CA_FILE,
        int(time.monotonic()) // FRESH_SECONDS,
    )


@lru_cache(maxsize=1)
def _client_of(
    issuer: str, client_id: str, client_secret: str, scopes: str, ca_file: str, period: int
) -> _Provider:
    return _Provider(
        DjangoIntegration("sso"),
        "sso",
        client_id=client_id,
        client_secret=client_secret,
        user_agent="llm-proxy",
        client_kwargs={
            "scope": scopes,
            "code_challenge_method": "S256",
            "default_timeout": TIMEOUT_SECONDS,
            "verify": ca_file or True,
            "trust_env": False,
            "max_redirects": 0,
            "leeway": 0,  # else access tokens of a minute count as expired at once
        },
    )


def _redirect_uri(request: HttpRequest) -> str:
    """As it is registered with the provider. Cookies that are sent over https only say which it is behind a
    front that says nothing.
    """
    uri = request.build_absolute_uri(reverse("sso_callback"))
    return uri.replace("http://", "https://", 1) if settings.SECURE_COOKIES else uri


def _code(error: object) -> str:
    """OAuth's word for what went wrong, where it is one; anybody can write an address with another."""
    text = str(error)
    return text if text.isascii() and text.replace("_", "").isalnum() and len(text) <= 50 else "an error"


def _unavailable(problem: Exception) -> UnavailableError:
    message = "It cannot be reached at the moment, or says what cannot be understood. Try again soon."
    return UnavailableError(message, f"{type(problem).__name__}: {problem}"[:300])

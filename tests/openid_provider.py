"""An OpenID Connect provider for tests: the code flow of a real one, with PKCE, which can misbehave."""

import json
import secrets
from base64 import b64decode, urlsafe_b64encode
from contextlib import AbstractContextManager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import jwt

from tests.issuers import Issuer, rsa_key, serving_as

CLIENT_ID = "llm-proxy"
CLIENT_SECRET = "client-secret-0123456789abcdefghijklmnop"


class OpenIdProvider(Issuer):
    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.discovery |= {
            "authorization_endpoint": f"{url}/authorize?tenant=ours",
            "token_endpoint": f"{url}/token",
            "userinfo_endpoint": f"{url}/userinfo",
            # As many have it. None of these but the first may be believed.
            "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
        }
        self.person: dict[str, Any] = {
            "sub": "248289761001",
            "email": "ada@example.com",
            "email_verified": True,
            "preferred_username": "ada",
            "groups": ["llm-viewers"],
        }
        self.moves = False
        """Its documents lie elsewhere, and it says where."""
        self.denies = ""
        """An error of OAuth, in place of a code."""
        self.forged: dict[str, Any] = {}
        """Claims of the id token in place of the true ones; None takes one away."""
        self.key = "rsa"
        self.userinfo: dict[str, Any] | None = None
        """What is told there, and only there, beside the subject."""
        self.granted: dict[str, dict[str, str]] = {}
        """The authorization request, by code that was not redeemed."""

    def respond(self, handler: BaseHTTPRequestHandler) -> bool:
        path, query = urlsplit(handler.path)[2:4]
        if self.moves and path.startswith("/.well-known/"):
            _redirect(handler, f"{self.url}/elsewhere{path}")
            return True
        if path == "/authorize":
            _redirect(handler, self._authorize(dict(parse_qsl(query))))
            return True
        if path == "/token":
            length = int(handler.headers["Content-Length"])
            form = dict(parse_qsl(handler.rfile.read(length).decode()))
            _answer(handler, self._redeem(form, handler.headers.get("Authorization", "")))
            return True
        if path == "/userinfo":
            assert handler.headers["Authorization"].startswith("Bearer access-")
            _answer(handler, {"sub": self.person["sub"], **(self.userinfo or {})})
            return True
        return False

    def _authorize(self, asked: dict[str, str]) -> str:
        assert asked["tenant"] == "ours"
        assert (asked["client_id"], asked["response_type"]) == (CLIENT_ID, "code")
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        if self.denies:
            error = {"error": self.denies, "error_description": "<b>you may not</b>", "state": asked["state"]}
            return f"{asked['redirect_uri']}?{urlencode(error)}"
        code = secrets.token_urlsafe(16)
        self.granted[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def _redeem(self, form: dict[str, str], authorization: str) -> dict[str, Any]:
        """By RFC 6749 and RFC 7636: each code once, by the client that asked for it, with its verifier."""
        asked = self.granted.pop(form.get("code", ""), None)
        if self._client_of(form, authorization) != (CLIENT_ID, CLIENT_SECRET):
            return {"error": "invalid_client"}
        challenge = sha256(form.get("code_verifier", "").encode()).digest()
        if (
            asked is None
            or form["redirect_uri"] != asked["redirect_uri"]
            or urlsafe_b64encode(challenge).rstrip(b"=").decode() != asked["code_challenge"]
        ):
            return {"error": "invalid_grant", "error_description": "secret-of-the-provider"}
        return {
            "access_token": f"access-{secrets.token_urlsafe(8)}",
            "token_type": "Bearer",
            "expires_in": 60,
            "id_token": self._id_token(asked["nonce"]),
        }

    def _client_of(self, form: dict[str, str], authorization: str) -> tuple[str, str]:
        if "client_secret_basic" not in self.discovery.get(
            "token_endpoint_auth_methods_supported", ["client_secret_basic"]
        ):
            return form.get("client_id", ""), form.get("client_secret", "")
        name, _, secret = b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        return unquote(name), unquote(secret)

    def _id_token(self, nonce: str) -> str:
        told = self.person if self.userinfo is None else {"sub": self.person["sub"]}
        claims = {"aud": CLIENT_ID, "nonce": nonce, "repository": None, "jti": None, **told, **self.forged}
        if self.key == "none":
            return jwt.encode(self.claims(**claims), None, "none")
        if self.key == "secret":
            return jwt.encode(self.claims(**claims), CLIENT_SECRET, "HS256", headers={"kid": "rsa"})
        if self.key == "forged":
            return jwt.encode(self.claims(**claims), rsa_key("evil"), "RS256", headers={"kid": "rsa"})
        return self.jwt(self.key, **claims)


def serving_openid_provider() -> AbstractContextManager[OpenIdProvider]:
    return serving_as(OpenIdProvider)


def _redirect(handler: BaseHTTPRequestHandler, url: str) -> None:
    handler.send_response(302)
    handler.send_header("Location", url)
    handler.end_headers()


def _answer(handler: BaseHTTPRequestHandler, document: dict[str, Any]) -> None:
    handler.send_response(400 if "error" in document else 200)
    handler.send_header("Content-Type", "application/json")
    handler.end_headers()
    handler.wfile.write(json.dumps(document).encode())

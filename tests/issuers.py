"""An OpenID Connect issuer for tests: a real HTTP server with keys of its own, which can misbehave."""

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any, TypeVar

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

AUDIENCE = "https://llm-proxy.example.com"
REPOSITORY = {"repository": ["acme/web"]}
"""What a rule asks of the JWTs that `Issuer.jwt` makes."""


@cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:
    """Always the same one of a name: making one takes long."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def ec_key(name: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def rsa_jwk(name: str, **more: Any) -> dict[str, Any]:
    return {
        **RSAAlgorithm.to_jwk(rsa_key(name).public_key(), as_dict=True),
        "kid": name,
        "use": "sig",
        **more,
    }


def ec_jwk(name: str, **more: Any) -> dict[str, Any]:
    return {**ECAlgorithm.to_jwk(ec_key(name).public_key(), as_dict=True), "kid": name, "use": "sig", **more}


class Issuer:
    def __init__(self, url: str) -> None:
        self.url = url
        self.keys = [rsa_jwk("rsa"), ec_jwk("ec")]
        self.discovery: dict[str, Any] = {"issuer": url, "jwks_uri": f"{url}/keys"}
        self.fault = ""
        """What becomes of requests: down, slow, huge, redirect, or what is as usual: nothing."""
        self.asked: list[str] = []
        """The paths of all requests."""
        self.is_over = Event()

    def claims(self, **claims: Any) -> dict[str, Any]:
        """None takes one away."""
        now = int(time.time())
        usual = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "repo:acme/web:ref:refs/heads/main",
            "repository": "acme/web",
            "iat": now,
            "exp": now + 300,
            "jti": str(uuid.uuid4()),
        }
        return {name: value for name, value in (usual | claims).items() if value is not None}

    def jwt(self, key: str = "rsa", **claims: Any) -> str:
        if key.startswith("ec"):
            return jwt.encode(self.claims(**claims), ec_key(key), "ES256", headers={"kid": key})
        return jwt.encode(self.claims(**claims), rsa_key(key), "RS256", headers={"kid": key})

    def respond(self, handler: BaseHTTPRequestHandler) -> bool:
        """To what no issuer must have; whether that was asked for."""
        return False

    def document(self, path: str) -> dict[str, Any]:
        return self.discovery if path.endswith("openid-configuration") else {"keys": self.keys}


AnyIssuer = TypeVar("AnyIssuer", bound=Issuer)


def serving_issuer() -> AbstractContextManager[Issuer]:
    return serving_as(Issuer)


@contextmanager
def serving_as(kind: type[AnyIssuer]) -> Iterator[AnyIssuer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked.append(self.path)
            if not issuer.fault and issuer.respond(self):
                return
            if issuer.fault == "slow":
                issuer.is_over.wait(20)
            if issuer.fault == "redirect":
                self.send_response(302)
                self.send_header("Location", f"{issuer.url}/elsewhere")
                self.end_headers()
                return
            self.send_response(500 if issuer.fault == "down" else 200)
            self.end_headers()
            document = json.dumps(issuer.document(self.path)).encode()
            self.wfile.write(b'{"issuer":"\xff"}' if issuer.fault == "garbled" else document)
            if issuer.fault == "huge":
                self.wfile.write(b" " * 1024 * 1024)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *arguments: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *arguments: Any) -> None:
            """Of a client that has gone."""

    with Server(("127.0.0.1", 0), Handler) as server:
        issuer = kind(f"http://127.0.0.1:{server.server_port}")
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield issuer
        finally:
            issuer.is_over.set()
            server.shutdown()
            thread.join()

"""The client's request: what it asks for, and the few facts peeked from a JSON body."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx

from proxy.client import Client
from proxy.errors import BadRequest, EndpointNotFound
from proxy.headers import first, media_type
from proxy.types import Headers, Scope

PREFIX = b"/v1"


_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class ProxyRequest:
    method: str
    path: str
    """Below /v1, raw, as received."""
    query: bytes
    headers: Headers
    content_length: int | None

    @classmethod
    def from_scope(cls, scope: Scope) -> "ProxyRequest":
        """Raises ProxyError for a path outside /v1 and for headers that make no sense."""
        raw_path: bytes = scope["raw_path"]
        if not raw_path.startswith(PREFIX + b"/"):
            raise EndpointNotFound
        headers: Headers = scope["headers"]
        values = b" ".join([value for _, value in headers])
        if _CONTROL.search(values):
            raise BadRequest("A header has a control character in its value.")
        if not values.isascii() and not _is_utf8(values):
            raise BadRequest("A header's value is not UTF-8.")  # the transport could not send it as it is
        return cls(
            method=scope["method"],
            path=raw_path[len(PREFIX) :].decode("latin-1"),
            query=scope["query_string"],
            headers=headers,
            content_length=_content_length(headers),
        )

    @property
    def target(self) -> str:
        """Path and query below /v1, as received."""
        return f"{self.path}?{self.query.decode('latin-1')}" if self.query else self.path

    @property
    def has_body(self) -> bool:
        if self.content_length is not None:
            return self.content_length > 0
        return first(self.headers, b"transfer-encoding") is not None

    def can_be_peeked(self, max_bytes: int) -> bool:
        return (
            self.content_length is not None
            and self.content_length <= max_bytes
            and media_type(self.headers) == b"application/json"
        )


def bearer(headers: Headers) -> str:
    """The access token that the client sent; empty if it sent none."""
    scheme, _, value = (first(headers, b"authorization") or b"").partition(b" ")
    return value.strip().decode("latin-1") if scheme.lower() == b"bearer" else ""


class StreamedBody(httpx.AsyncByteStream):
    """The client's body on its way upstream, never whole in memory."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._client.body()


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _content_length(headers: Headers) -> int | None:
    value = first(headers, b"content-length")
    if value is None:
        return None
    if not value.isdigit() or len(value) > 30:
        raise BadRequest("The request's Content-Length is not a number.")
    return int(value)

"""Fetches an issuer's keys by its discovery document (OpenID Connect Discovery 1.0).

Only what a trust rule names is ever fetched, and what that names as its keys: over https, of bounded size, in
bounded time, following no redirect.
"""

import asyncio
import ssl
from functools import cache
from typing import Any

import httpx
import msgspec
from django.conf import settings

from tokens.exchange.errors import IssuerUnavailableError
from tokens.exchange.issuers import discovery_url, is_fetchable
from tokens.exchange.jwks import KeySet, read_keys

MAX_BYTES = 512 * 1024
TOTAL_SECONDS = 5.0
"""For both documents together."""


async def fetch_keys(issuer: str) -> KeySet:
    """Raises IssuerUnavailableError."""
    try:
        async with asyncio.timeout(TOTAL_SECONDS), _client() as client:
            discovery = await _document(client, discovery_url(issuer))
            if discovery.get("issuer") != issuer:
                raise IssuerUnavailableError("its discovery document is another issuer's")
            keys = read_keys(await _document(client, discovery.get("jwks_uri")))
    except TimeoutError:
        raise IssuerUnavailableError("it does not answer in time") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as problem:
        raise IssuerUnavailableError(f"it cannot be reached: {type(problem).__name__}: {problem}") from None
    if not keys.keys:
        raise IssuerUnavailableError("it has no usable keys")
    return keys


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(
        verify=_trust(),
        timeout=TOTAL_SECONDS,
        follow_redirects=False,
        trust_env=False,
        # What is not compressed cannot inflate.
        headers={"accept": "application/json", "accept-encoding": "identity", "user-agent": "llm-proxy"},
    )


@cache
def _trust() -> ssl.SSLContext:
    """The usual authorities, and those of EXCHANGE_CA_FILE, such as a cluster's own."""
    context = httpx.create_ssl_context(trust_env=False)
    if settings.EXCHANGE_CA_FILE:
        context.load_verify_locations(settings.EXCHANGE_CA_FILE)
    return context


async def _document(client: httpx.AsyncClient, url: object) -> dict[str, Any]:
    """A JSON object. Raises IssuerUnavailableError and httpx.HTTPError."""
    if not isinstance(url, str) or not is_fetchable(url, permits_loopback=settings.EXCHANGE_LOOPBACK_HTTP):
        raise IssuerUnavailableError("its discovery document names no https URL of its keys")
    async with client.stream("GET", url) as response:
        if response.status_code != httpx.codes.OK:
            raise IssuerUnavailableError(f"it answers {response.status_code}")
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MAX_BYTES:
                raise IssuerUnavailableError(f"a document of it is larger than {MAX_BYTES // 1024} KiB")
    try:
        return msgspec.json.decode(bytes(body), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise IssuerUnavailableError("a document of it is no JSON object") from None

"""Which bodies are read whole before they are sent on, and how much of that there may be at a time.

Small JSON bodies are, for the ledger's sake. Larger ones, those of any media type and forms are where limits,
prices or rules depend on what they ask for: what has to be seen and cannot be is refused.
"""

from projects.models import UnpricedPolicy
from proxy.breathing import breathe
from proxy.client import Client
from proxy.document import read_document
from proxy.endpoints import Endpoint
from proxy.errors import BadRequest, RequestTooLarge, ServiceUnavailable
from proxy.facts import LIMIT_NAMES, NO_FACTS, Facts, form_facts, peek
from proxy.headers import FORM, media_type
from proxy.references import search_references
from proxy.request import ProxyRequest, StreamedBody
from proxy.rules import Look
from proxy.ruling import look_of
from tokens.grant import Grant

MAX_PEEKED_BYTES = 1024 * 1024
"""A declared JSON body up to this size is read by the way."""
MAX_SEEN_BYTES = 32 * 1024 * 1024
"""The largest body that is read because it has to be seen."""
MAX_HELD_BYTES = 8 * MAX_SEEN_BYTES
"""Of all larger bodies that a process holds."""


class HeldBodies:
    """Counts the bytes of the larger bodies that are in memory."""

    def __init__(self, max_bytes: int = MAX_HELD_BYTES) -> None:
        self._left_bytes = max_bytes

    def take(self, size_bytes: int) -> None:
        """Whoever takes gives back. Raises ServiceUnavailable where there is no room."""
        if size_bytes > self._left_bytes:
            raise ServiceUnavailable
        self._left_bytes -= size_bytes

    def has_room(self, size_bytes: int) -> bool:
        return size_bytes <= self._left_bytes

    def give_back(self, size_bytes: int) -> None:
        self._left_bytes += size_bytes


def must_be_seen(request: ProxyRequest, grant: Grant, endpoint: Endpoint) -> bool:
    if not request.has_body:
        return False
    if _limits_see(request, grant, endpoint):
        return True
    return grant.rules is not None and look_of(grant.rules, request, endpoint) is Look.MUST


def will_be_seen(request: ProxyRequest, grant: Grant, endpoint: Endpoint, held: HeldBodies) -> bool:
    """Whether it must be, or can be for the sake of rules in shadow mode: those must not refuse anything."""
    if must_be_seen(request, grant, endpoint):
        return True
    if grant.rules is None or not request.has_body or request.content_length is None:
        return False
    return (
        request.content_length <= MAX_SEEN_BYTES
        and held.has_room(request.content_length)
        and look_of(grant.rules, request, endpoint) is Look.SHADOW
    )


def size_to_hold(request: ProxyRequest, *, is_seen: bool) -> int:
    """Bytes of a larger body; the most that may come where the length is not declared.

    Raises RequestTooLarge.
    """
    if not is_seen:
        return 0
    size_bytes = MAX_SEEN_BYTES if request.content_length is None else request.content_length
    if size_bytes > MAX_SEEN_BYTES:
        raise _too_large_to_see()
    return size_bytes if size_bytes > MAX_PEEKED_BYTES else 0


async def read_body(
    request: ProxyRequest, client: Client, grant: Grant, endpoint: Endpoint, *, is_seen: bool
) -> tuple[bytes | StreamedBody, Facts]:
    """The body and what is known of it. Raises ProxyError where it has to be seen and cannot be."""
    if not request.has_body:
        return await client.read(), NO_FACTS
    if is_seen:
        return await _see(request, client, grant, endpoint)
    if request.can_be_peeked(MAX_PEEKED_BYTES):
        body = await client.read()
        return body, peek(body, request.path)
    return StreamedBody(client), NO_FACTS


async def _see(
    request: ProxyRequest, client: Client, grant: Grant, endpoint: Endpoint
) -> tuple[bytes, Facts]:
    body = await client.read(MAX_SEEN_BYTES)
    await breathe(body)
    depends = _limits_see(request, grant, endpoint) and endpoint.reports_usage
    if not depends and media_type(request.headers) != FORM:
        return body, await _peek(body, request.path, for_limits=grant.counts_usage)
    try:
        document = read_document(request.headers, body, LIMIT_NAMES)
        await breathe(body)
    except BadRequest:
        if depends:
            raise
        return body, NO_FACTS
    if document.is_form:
        facts = form_facts(document.values)
    else:
        facts = await _peek(body, request.path, for_limits=True)
    if depends and grant.counts_usage and not facts.model:
        raise BadRequest(
            "The model of this request cannot be read, and the limits of this access token depend on it. "
            "Send a JSON object or a form with a model.",
            param="model",
        )
    return body, facts


async def _peek(body: bytes, path: str, *, for_limits: bool) -> Facts:
    refers = await search_references(body) if for_limits else None
    return peek(body, path, for_limits=for_limits, refers=refers)


def _limits_see(request: ProxyRequest, grant: Grant, endpoint: Endpoint) -> bool:
    """Forms count where an answer tells what they have cost: elsewhere they have no price."""
    return (
        endpoint.may_cost(request.method)
        and (grant.counts_usage or grant.unpriced_policy is UnpricedPolicy.REFUSE)
        and (endpoint.reports_usage or media_type(request.headers) != FORM)
    )


def _too_large_to_see() -> RequestTooLarge:
    return RequestTooLarge(
        "The limits or rules of this access token depend on what is in the request's body, and it is larger "
        f"than {MAX_SEEN_BYTES // 2**20} MiB."
    )

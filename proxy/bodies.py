"""Which bodies are read whole before they are sent on.

Small JSON bodies are, for the ledger's sake; so are larger ones where the proxy can ask for a stream's
usage, as far as there is room. Those of any media type, and forms, are where limits, prices or rules depend
on what they ask for: what has to be seen and cannot be is refused.
"""

from projects.models import UnpricedPolicy
from proxy.asking import can_be_asked
from proxy.breathing import breathe
from proxy.client import Client
from proxy.document import read_document
from proxy.endpoints import Endpoint
from proxy.errors import BadRequest, RequestTooLarge
from proxy.facts import LIMIT_NAMES, NO_FACTS, Facts, form_facts, peek
from proxy.headers import is_form
from proxy.held_bodies import HeldBody
from proxy.references import search_references
from proxy.request import ProxyRequest, StreamedBody
from proxy.rules import Look
from proxy.ruling import look_of
from tokens.grant import Grant

MAX_PEEKED_BYTES = 1024 * 1024
"""A JSON body up to this size is read by the way."""
MAX_SEEN_BYTES = 32 * 1024 * 1024
"""The largest body that is read for what it says."""


def must_be_seen(request: ProxyRequest, grant: Grant, endpoint: Endpoint) -> bool:
    if not request.has_body:
        return False
    if _limits_see(request, grant, endpoint):
        return True
    return grant.rules is not None and look_of(grant.rules, request, endpoint) is Look.MUST


def will_be_seen(request: ProxyRequest, grant: Grant, endpoint: Endpoint, held: HeldBody) -> bool:
    """Whether it must be, or is to be and can be: for that nobody is refused, so room is taken for all of it.
    Raises ProxyError where it has to be seen and there is no room for it.
    """
    if must_be_seen(request, grant, endpoint):
        held.check(_declared_size(request))
        return True
    size_bytes = request.content_length
    if size_bytes is None or not 0 < size_bytes <= MAX_SEEN_BYTES:
        return False
    if not _is_to_be_seen(size_bytes, request, grant, endpoint) or not held.has_room_to_spare(size_bytes):
        return False
    held.grow(size_bytes)
    return True


def _is_to_be_seen(size_bytes: int, request: ProxyRequest, grant: Grant, endpoint: Endpoint) -> bool:
    """For the sake of rules in shadow mode, or of a stream's usage: whether it is one, only its body says."""
    if grant.rules is not None and look_of(grant.rules, request, endpoint) is Look.SHADOW:
        return True
    return size_bytes > MAX_PEEKED_BYTES and can_be_asked(request, endpoint)


async def read_body(
    request: ProxyRequest,
    client: Client,
    grant: Grant,
    endpoint: Endpoint,
    *,
    is_seen: bool,
    held: HeldBody,
) -> tuple[bytes | StreamedBody, Facts]:
    """The body and what is known of it. Raises ProxyError where it has to be seen and cannot be."""
    if not request.has_body:
        return await client.read(), NO_FACTS
    if is_seen:
        return await _see(request, client, grant, endpoint, held)
    if request.can_be_peeked(MAX_PEEKED_BYTES):
        body = await client.read()
        return body, peek(body, request.path)
    if request.content_length is None and can_be_asked(request, endpoint):
        short = await client.read_if_short(MAX_PEEKED_BYTES)
        if short is not None:
            return short, peek(short, request.path)
    return StreamedBody(client), NO_FACTS


async def _see(
    request: ProxyRequest, client: Client, grant: Grant, endpoint: Endpoint, held: HeldBody
) -> tuple[bytes, Facts]:
    client.on_growth = held.grow
    body = await client.read(MAX_SEEN_BYTES)
    await breathe(body)
    depends = _limits_see(request, grant, endpoint) and endpoint.is_metered
    if not depends and not is_form(request.headers):
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
        and (endpoint.is_metered or not is_form(request.headers))
    )


def _declared_size(request: ProxyRequest) -> int:
    """0: it does not say. Raises RequestTooLarge."""
    size_bytes = request.content_length or 0
    if size_bytes > MAX_SEEN_BYTES:
        raise _too_large_to_see()
    return size_bytes


def _too_large_to_see() -> RequestTooLarge:
    return RequestTooLarge(
        "The limits or rules of this access token depend on what is in the request's body, and it is larger "
        f"than {MAX_SEEN_BYTES // 2**20} MiB."
    )

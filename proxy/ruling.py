"""The rules of a request's token, applied to the request: before its body, and when that has been read.

Whoever has no rules does not come here.
"""

from projects.ruleset import Ruleset
from proxy.client import Client
from proxy.client_address import client_address
from proxy.document import read_document
from proxy.endpoints import Endpoint
from proxy.errors import BadRequest, ServiceUnavailable
from proxy.headers import is_form
from proxy.request import ProxyRequest, StreamedBody
from proxy.rules import (
    NOT_SEEN,
    Look,
    Note,
    body_bound,
    check_body,
    check_network,
    check_origin,
    check_request,
    look_into,
)
from proxy.types import Scope


def judge_client(rules: Ruleset, scope: Scope, note: Note, *, trusted_proxies: int) -> None:
    """Who asks: a browser's page of which origin, from which network. Raises Forbidden."""
    check_origin(rules, scope["headers"], note)
    if rules.networks:
        check_network(rules, client_address(scope, trusted_proxies=trusted_proxies), note)


def judge_request(
    rules: Ruleset, request: ProxyRequest, endpoint: Endpoint, client: Client, note: Note
) -> None:
    """What is asked for, as far as it is known without the body. Raises ProxyError."""
    check_request(
        rules,
        endpoint,
        method=request.method,
        path=request.path,
        query=request.query,
        content_length=request.content_length,
        note=note,
    )
    client.bound_body(body_bound(rules))


def judge_body(
    rules: Ruleset, request: ProxyRequest, endpoint: Endpoint, body: bytes | StreamedBody, note: Note
) -> None:
    """What the body asks for. Raises ProxyError."""
    look = look_of(rules, request, endpoint)
    if look is Look.NO:
        return
    if not isinstance(body, bytes):
        if look is Look.MUST:  # the rules were changed while it was on the way
            raise ServiceUnavailable
        note(NOT_SEEN)
        return
    try:
        document = read_document(request.headers, body, rules.names or {})
    except BadRequest:
        if look is Look.MUST:
            raise
        note(BadRequest.code)
        return
    check_body(rules, endpoint, request.method, document, note)


def look_of(rules: Ruleset, request: ProxyRequest, endpoint: Endpoint) -> Look:
    return look_into(rules, endpoint, request.method, is_form=is_form(request.headers))

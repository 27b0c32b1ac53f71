"""`POST /token/exchange` (RFC 8693): a job or pod shows the JWT of its issuer, and gets an access token."""

import time
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import structlog
from django.db import Error
from django.utils import timezone

from audit.actors import STRANGER, of_subject
from audit.origin import Origin
from audit.refusals import refusals
from proxy.client import Client
from proxy.client_address import network_of
from proxy.credit import Credits
from proxy.errors import (
    BadRequest,
    Forbidden,
    IssuerUnavailable,
    MethodNotAllowed,
    ProxyError,
    RateLimitReached,
    ServiceUnavailable,
    SubjectTokenRefused,
)
from proxy.headers import media_type
from proxy.incoming import ClientDisconnected
from proxy.runtime import Runtime
from proxy.types import Receive, Scope, Send
from tokens.exchange.errors import AmbiguousError, IssuerUnavailableError, RefusedError
from tokens.exchange.issuing import REFUSED, issue_for, record_refusal
from tokens.lifecycle import ProjectInactiveError

PATH = "/token/exchange"
MAX_BODY_BYTES = 64 * 1024
MAX_PARAMETERS = 20
CREDIT = 30
"""Attempts of an address that may fail, or run, at once."""
CREDIT_PER_SECOND = 0.2

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 (the name of a type)
SUBJECT_TYPES = ("urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token")

log = structlog.get_logger("proxy")
_credits = Credits(CREDIT, CREDIT_PER_SECOND, time.monotonic)


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    client = Client(receive, send, max_body_bytes=MAX_BODY_BYTES)
    try:
        body = msgspec.json.encode(await _exchanged(Runtime.current(), scope, client))
    except ClientDisconnected:
        return
    except ProxyError as error:
        await client.refuse(error, (b"cache-control", b"no-store"))
        return
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    await client.start(200, [*headers, (b"content-length", b"%d" % len(body))])
    await client.write(body, is_last=True)


async def _exchanged(runtime: Runtime, scope: Scope, client: Client) -> dict[str, Any]:
    """The answer of RFC 8693, section 2.2.1. Raises ProxyError and ClientDisconnected."""
    if scope["method"] != "POST":
        raise MethodNotAllowed(("POST",))
    address = runtime.network_of(scope)
    credit = _credits.of(address)
    if not credit.take(time.monotonic()):
        raise RateLimitReached(
            "requests",
            "Too many token exchanges of this address have failed. Try again in a moment.",
            retry_after_ms=round(1000 / CREDIT_PER_SECOND),
        )
    parameters = _parameters(media_type(scope["headers"]), await client.read())
    subject_token = _subject_token(parameters)
    origin = Origin(runtime.address_of(scope))
    try:
        plain, ttl = await _issue(runtime, origin, subject_token, parameters.get("audience", ""))
    except RefusedError as problem:
        raise _told(problem) from None
    except IssuerUnavailableError:
        credit.give_back()
        raise IssuerUnavailable from None
    credit.give_back()
    return {
        "access_token": plain,
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": ttl // timedelta(seconds=1),
    }


async def _issue(runtime: Runtime, origin: Origin, subject_token: str, project: str) -> tuple[str, timedelta]:
    """A plain text and its lifetime. Raises RefusedError, IssuerUnavailableError and ProxyError."""
    if runtime.reach.is_away:
        raise ServiceUnavailable
    actor = STRANGER
    try:
        assertion = await runtime.workloads.verify(subject_token)
        actor = of_subject(assertion.issuer, assertion.subject)
        return await runtime.database.in_thread(
            partial(issue_for, assertion, project=project, origin=origin, now=timezone.now())
        )
    except RefusedError as problem:
        await _note_refusal(runtime, origin, actor, problem.reason)
        raise
    except ProjectInactiveError:
        await _note_refusal(runtime, origin, actor, "its project is switched off")
        raise Forbidden("project_inactive", "The project of the trust rule is switched off.") from None
    except Error as problem:
        log.error("a token cannot be issued in exchange", error=str(problem))
        raise ServiceUnavailable from None


async def _note_refusal(runtime: Runtime, origin: Origin, actor: str, reason: str) -> None:
    """In the log each, in the audit trail not each: audit/refusals.py."""
    log.warning("a token exchange is refused", address=origin.address, reason=reason)
    client = network_of(origin.address) if actor == STRANGER else actor
    refused = refusals.due(REFUSED, client)
    if not refused:
        return
    try:
        await runtime.database.in_thread(
            partial(record_refusal, reason, actor=actor, refused=refused, origin=origin)
        )
    except Error as problem:
        log.error("a refused token exchange cannot be audited", error=str(problem))


def _told(problem: RefusedError) -> ProxyError:
    if isinstance(problem, AmbiguousError):
        return BadRequest(problem.message, "audience")
    return SubjectTokenRefused(problem.message)


def _subject_token(parameters: dict[str, str]) -> str:
    """The JWT, where all else makes sense. Raises BadRequest."""
    if parameters.get("grant_type") != GRANT_TYPE:
        raise BadRequest(f"`grant_type` must be {GRANT_TYPE}.", "grant_type")
    if parameters.get("subject_token_type") not in SUBJECT_TYPES:
        raise BadRequest(f"`subject_token_type` must be {SUBJECT_TYPES[0]}.", "subject_token_type")
    if parameters.get("requested_token_type", ACCESS_TOKEN) != ACCESS_TOKEN:
        raise BadRequest(f"`requested_token_type` can only be {ACCESS_TOKEN}.", "requested_token_type")
    if "actor_token" in parameters:
        raise BadRequest("Nobody can act for another here: send no `actor_token`.", "actor_token")
    if not parameters.get("subject_token"):
        raise BadRequest("`subject_token` is missing: the JWT to exchange.", "subject_token")
    return parameters["subject_token"]


def _parameters(kind: bytes, body: bytes) -> dict[str, str]:
    """Of a form, as the standard has it, or of a JSON object of texts. Raises BadRequest."""
    try:
        if kind == b"application/json":
            return msgspec.json.decode(body, type=dict[str, str])
        if kind != b"application/x-www-form-urlencoded":
            raise BadRequest("Send a form (application/x-www-form-urlencoded) or JSON (application/json).")
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS
        )
    except (ValueError, RecursionError):
        raise BadRequest("The parameters cannot be read.") from None
    if len(dict(pairs)) < len(pairs):
        raise BadRequest("A parameter is there twice.")
    return dict(pairs)

"""The rules of a token, applied to a WebSocket: to its handshake, and to the events that choose a model or
begin a turn.
"""

from projects.ruleset import Ruleset
from proxy.endpoints import SOCKET, Endpoint
from proxy.rules import Note, check_message, check_models, check_request, check_unnamed_model, read_message
from proxy.ruling import judge_client
from proxy.types import Scope
from proxy.websockets.client_events import TURN, ClientEvent
from proxy.websockets.handshake import Handshake


def judge_handshake(
    rules: Ruleset,
    scope: Scope,
    endpoint: Endpoint,
    handshake: Handshake,
    note: Note,
    *,
    trusted_proxies: int,
) -> None:
    """Raises ProxyError."""
    judge_client(rules, scope, note, trusted_proxies=trusted_proxies)
    request = handshake.request
    check_request(
        rules,
        endpoint,
        method=SOCKET,
        path=request.path,
        query=request.query,
        content_length=None,
        note=note,
    )
    if handshake.is_realtime and not handshake.model:
        check_unnamed_model(rules, note)


def judge_event(rules: Ruleset, endpoint: Endpoint, event: ClientEvent, note: Note, *, model: str) -> None:
    """`model`: the session's. Raises ProxyError."""
    check_message(rules, endpoint, read_message(rules, event.document.encode()), note)
    if event.transcription_model:
        check_models(rules, [event.transcription_model], note, param="transcription.model")
    if event.kind == TURN and not event.model and not model:
        check_unnamed_model(rules, note)

"""The rules of a token, applied to a WebSocket: to its handshake, to the size of each message, and to the
events that choose a model or begin a turn.
"""

from projects.ruleset import Ruleset
from proxy.endpoints import SOCKET, Endpoint
from proxy.errors import BadRequest, RequestTooLarge
from proxy.rules import (
    Look,
    Note,
    check_length,
    check_message,
    check_models,
    check_request,
    check_required,
    check_unnamed_model,
    look_into_messages,
    note_set,
    read_message,
)
from proxy.ruling import judge_client
from proxy.types import Scope
from proxy.websockets.client_events import SESSIONS, TURN, ClientEvent
from proxy.websockets.handshake import Handshake
from proxy.websockets.state import ConversationState


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


class MessageJudge:
    """Of one conversation. What it raises is ProxyError."""

    def __init__(self, endpoint: Endpoint, state: ConversationState, note: Note) -> None:
        self._endpoint = endpoint
        self._state = state
        self._note = note
        self._session: set[str] = set()
        """The parameters that the client has set for all turns."""

    def judge_size(self, rules: Ruleset | None, size: int) -> None:
        """Of any message, in bytes."""
        if size > self._endpoint.max_request_bytes:
            raise RequestTooLarge("A message is larger than this proxy accepts.")
        if rules is not None:
            check_length(rules, size, self._note)

    def judge_event(self, rules: Ruleset, event: ClientEvent) -> None:
        if event.transcription_model:
            check_models(rules, [event.transcription_model], self._note, param="transcription.model")
        look = look_into_messages(rules, self._endpoint)
        if look is not Look.NO:
            self._look_into(rules, event, is_enforced=look is Look.MUST)
        if event.kind == TURN and not event.model:
            self._judge_session_model(rules)

    def judge_unasked_turn(self, rules: Ruleset) -> None:
        """One that upstream has begun by itself."""
        self._judge_session_model(rules)
        check_required(rules, self._endpoint, {}, self._session, self._note)

    def _look_into(self, rules: Ruleset, event: ClientEvent, *, is_enforced: bool) -> None:
        try:
            message = read_message(rules, event.document.encode())
        except BadRequest as problem:
            if is_enforced:
                raise
            self._note(problem.code)
            return
        check_message(rules, self._endpoint, message, self._note)
        if event.kind == TURN:
            check_required(rules, self._endpoint, message, self._session, self._note)
        elif event.kind in SESSIONS and self._state.is_realtime:
            note_set(rules, message.get("session"), self._session)

    def _judge_session_model(self, rules: Ruleset) -> None:
        model = self._state.model
        if model:
            check_models(rules, [model], self._note)
        else:
            check_unnamed_model(rules, self._note)

"""The rules of a token, applied to a WebSocket: to its handshake, to the size of each message, and to the
events that choose a model or begin a turn.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

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
    check_turn,
    check_unnamed_model,
    look_into_messages,
    read_message,
    stated_in,
)
from proxy.ruling import judge_client
from proxy.types import Scope
from proxy.websockets.client_events import TURN, ClientEvent
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


@dataclass(frozen=True, slots=True)
class Statement:
    """What a turn has said of itself, and the rules by which that was judged."""

    rules: Ruleset
    parameters: frozenset[str] = frozenset()
    """Names of those that it need not have from its session."""


class MessageJudge:
    """Of one conversation. What it raises is ProxyError."""

    def __init__(self, endpoint: Endpoint, state: ConversationState, note: Note) -> None:
        self._endpoint = endpoint
        self._state = state
        self._note = note

    def judge_size(self, rules: Ruleset | None, size: int) -> None:
        """Of any message, in bytes."""
        if size > self._endpoint.max_request_bytes:
            raise RequestTooLarge("A message is larger than this proxy accepts.")
        if rules is not None:
            check_length(rules, size, self._note)

    def judge_event(self, rules: Ruleset, event: ClientEvent) -> Statement:
        """What stands in an event. A turn's session is looked at, too, unless it is just being changed."""
        if event.transcription_model:
            self.judge_transcription(rules, event.transcription_model)
        stated = Statement(rules, self._look_into(rules, event))
        if event.kind == TURN and not self._state.is_realtime:
            self._judge_model(rules, event.model)
            self._judge_parameters(stated)
        elif event.kind == TURN and not self._state.is_changing:
            self.judge_beginning(stated)
        return stated

    def judge_beginning(self, stated: Statement) -> None:
        """Of a turn of a session. When it begins, upstream has said what its session is."""
        self._judge_model(stated.rules, self._state.model)
        self._judge_parameters(stated)

    def judge_transcription(self, rules: Ruleset, model: str) -> None:
        if model:
            check_models(rules, [model], self._note, param="transcription.model")
        else:
            check_unnamed_model(rules, self._note)

    def _look_into(self, rules: Ruleset, event: ClientEvent) -> frozenset[str]:
        look = look_into_messages(rules, self._endpoint)
        if look is Look.NO:
            return frozenset()
        try:
            message = read_message(rules, event.document.encode())
        except BadRequest as problem:
            if look is Look.MUST:
                raise
            self._note(problem.code)
            return frozenset()
        check_message(rules, self._endpoint, message, self._note)
        said = message.get("response") if self._state.is_realtime else message
        return stated_in(rules, self._endpoint, said)

    def _judge_model(self, rules: Ruleset, model: str) -> None:
        if model:
            check_models(rules, [model], self._note)
        else:
            check_unnamed_model(rules, self._note)

    def _judge_parameters(self, stated: Statement) -> None:
        if look_into_messages(stated.rules, self._endpoint) is Look.NO:
            return
        state = self._state
        session, first_session = _values(state.session), _values(state.first_session)
        check_turn(stated.rules, self._endpoint, stated.parameters, session, first_session, self._note)


def _values(document: bytes) -> Any:
    """None if they are not known."""
    try:
        return msgspec.json.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None

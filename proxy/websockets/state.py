"""What is known of a conversation between its turns: which model answers, and how much it has to read."""

import re
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from proxy.bill import BYTES_PER_MODEL_TOKEN
from proxy.facts import Facts, peek
from proxy.websockets.client_events import SESSIONS, ClientEvent
from proxy.websockets.server_events import UPDATED, ServerEvent

AUDIO_BYTES_PER_TEXT_BYTE = 250
"""Of audio that is sent, in base64. A model token is 100 ms: 1067 bytes or more; of text it is about 4."""
MAX_UNANSWERED = 16
"""Changes of the session that are remembered until upstream has answered them."""
_ID = r'"event_id"\s*:\s*"[^"\\]*"'
_TYPE = r'"type"\s*:\s*"input_audio_buffer\.append"'
_AUDIO_BEGINS = re.compile(
    rf'\s*\{{\s*(?:{_ID}\s*,\s*)?(?P<type>{_TYPE}\s*,\s*)?(?:{_ID}\s*,\s*)?"audio"\s*:\s*"'
)
_AUDIO_ENDS = re.compile(rf'"\s*(?P<type>,\s*{_TYPE}\s*)?(?:,\s*{_ID}\s*)?\}}\s*')


@dataclass(frozen=True, slots=True)
class Ask:
    """A turn that begins, as far as it is known."""

    facts: tuple[Facts, ...]
    """All that it may be, if upstream has yet to answer a change of the session; the likeliest last."""
    size: int
    """Bytes that it reads, as if all were text."""
    follows_session: bool = False
    """Whether its model is the session's."""
    behind: tuple[ClientEvent, ...] = ()
    """Changes that were sent before it, and that upstream has yet to answer."""


class ConversationState(Protocol):
    model: str
    """That answers what names none; empty: there is no such model, or it is not known."""
    transcription_model: str
    is_realtime: bool

    def sent(self, data: str | bytes) -> None:
        """The client has sent this, of which nothing else is known."""
        ...

    def asked(self, event: ClientEvent) -> None:
        """The client changes the session, or begins a turn."""
        ...

    def told(self, event: ServerEvent) -> None:
        """Upstream says how the session is, or what a turn has read and written."""
        ...

    def failed(self, caused_by: str | None, ask: Ask | None) -> bool:
        """Upstream refuses an event: whether it is a change of the session, and not this turn."""
        ...

    def turn(self, event: ClientEvent | None, *, for_limits: bool) -> Ask:
        """None: nobody asked for it, upstream has heard the end of a sentence."""
        ...


class ResponsesState:
    """Every turn says for itself what it is: there is no session."""

    model = ""
    transcription_model = ""
    is_realtime = False

    def sent(self, data: str | bytes) -> None:
        pass

    def asked(self, event: ClientEvent) -> None:
        pass

    def told(self, event: ServerEvent) -> None:
        pass

    def failed(self, caused_by: str | None, ask: Ask | None) -> bool:
        return False

    def turn(self, event: ClientEvent | None, *, for_limits: bool) -> Ask:
        if event is None:
            return Ask((Facts(is_stream=True),), 0)
        document = event.document.encode()
        facts = peek(document, "/responses", for_limits=for_limits)
        # The name that was checked; peeking reads the last of two.
        return Ask((msgspec.structs.replace(facts, model=event.model, is_stream=True),), len(document))


@dataclass(slots=True)
class RealtimeState:
    """Upstream keeps the conversation, and every turn reads all of it. The session is what upstream has said
    that it is: a change that it has not answered may be refused.
    """

    model: str
    joins: bool
    """Whether the conversation has begun elsewhere."""
    transcription_model: str = ""
    is_realtime: bool = field(default=True, init=False)
    _max_output_tokens: int | None = None
    _unanswered: deque[ClientEvent] = field(default_factory=lambda: deque(maxlen=MAX_UNANSWERED))
    _context_tokens: int = 0
    _new_bytes: int = 0
    _read_bytes: int = 0
    _refers_elsewhere: bool = False

    def sent(self, data: str | bytes) -> None:
        size = size_of(data)
        self._new_bytes += size // AUDIO_BYTES_PER_TEXT_BYTE if _is_audio(data) else size

    def asked(self, event: ClientEvent) -> None:
        self._refers_elsewhere = self._refers_elsewhere or event.refers_elsewhere
        if event.kind in SESSIONS:
            self._unanswered.append(msgspec.structs.replace(event, document=""))

    def told(self, event: ServerEvent) -> None:
        if event.session is not None:
            self._confirm(event)
        elif event.usage is not None:
            # A response beside the conversation reads less than the next one in it.
            tokens = (event.usage.input_tokens or 0) + (event.usage.output_tokens or 0)
            self._context_tokens = max(self._context_tokens, tokens)
            self._new_bytes -= self._read_bytes
            self._read_bytes = 0

    def failed(self, caused_by: str | None, ask: Ask | None) -> bool:
        refused = next((change for change in self._unanswered if change.event_id == caused_by), None)
        if refused is None or (ask is not None and all(change is not refused for change in ask.behind)):
            return False
        self._unanswered.remove(refused)
        return True

    def turn(self, event: ClientEvent | None, *, for_limits: bool) -> Ask:
        # Upstream has answered all that was sent before a turn of its own began.
        unanswered = self._unanswered if event is not None else ()
        most = [self._max_output_tokens, *(change.max_output_tokens or None for change in unanswered)]
        if event is not None and event.max_output_tokens is not None:
            most = [event.max_output_tokens]
        own = event.model if event is not None else ""
        models = [own] if own else [self.model, *(change.model for change in unanswered if change.model)]
        facts = Facts(
            is_stream=True,
            max_output_tokens=_largest(most),
            has_input_elsewhere=self._refers_elsewhere or self.joins,
        )
        self._read_bytes = self._new_bytes
        return Ask(
            tuple(msgspec.structs.replace(facts, model=model) for model in dict.fromkeys(models)),
            self._context_tokens * BYTES_PER_MODEL_TOKEN + self._new_bytes,
            follows_session=not own,
            behind=tuple(unanswered),
        )

    def _confirm(self, event: ServerEvent) -> None:
        """Of what upstream does not say it has taken what it was asked for."""
        accepted = self._unanswered.popleft() if event.kind in UPDATED and self._unanswered else None
        assert event.session is not None
        self.model = event.session.model or (accepted.model if accepted else "") or self.model
        self.transcription_model = (
            event.transcription_model
            or (accepted.transcription_model if accepted else "")
            or self.transcription_model
        )
        self._max_output_tokens = event.max_output_tokens


def _largest(counts: list[int | None]) -> int | None:
    """None if one of them is not known."""
    known = [count for count in counts if count is not None]
    return max(known) if len(known) == len(counts) else None


def size_of(data: str | bytes) -> int:
    """In bytes, on the wire."""
    return len(data) if isinstance(data, bytes) or data.isascii() else len(data.encode())


def _is_audio(data: str | bytes) -> bool:
    """Whether it is nothing but audio, however its reader takes a member that stands twice."""
    begins = _AUDIO_BEGINS.match(data) if isinstance(data, str) else None
    if begins is None:
        return False
    assert isinstance(data, str)
    end = data.find('"', begins.end())
    ends = _AUDIO_ENDS.fullmatch(data, end) if end >= 0 else None
    return ends is not None and bool(begins["type"] or ends["type"])

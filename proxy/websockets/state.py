"""What is known of a conversation between its turns: which model answers, and how much it has to read."""

import re
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from proxy.bill import BYTES_PER_MODEL_TOKEN
from proxy.facts import Facts, peek
from proxy.websockets.client_events import SESSIONS, ClientEvent
from proxy.websockets.server_events import UPDATED, ServerEvent, SessionReport

AUDIO_BYTES_PER_TEXT_BYTE = 250
"""Of audio that is sent, in base64. A model token is 100 ms: 1067 bytes or more; of text it is about 4."""
MAX_UNANSWERED = 16
"""Changes of the session that are remembered until upstream has answered them."""
MAX_SESSION_BYTES = 256 * 1024
"""Of a session that is kept; what a longer one says is not known."""
OVERLONG = b"null"
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
    seen_bytes: int = 0
    """Of all that was ever sent in the conversation, what it reads; 0 if it is beside the conversation."""
    behind: tuple[ClientEvent, ...] = ()
    """Changes that were sent before it, and that upstream has yet to answer."""


class ConversationState(Protocol):
    model: str
    """That answers what names none; empty: there is no such model, or it is not known."""
    transcription_model: str
    is_realtime: bool
    """Whether there is a session, which has the model of all turns."""
    session: bytes
    """As upstream has last said that it is, a JSON object."""
    first_session: bytes
    """As it was before the client could change it."""

    @property
    def is_changing(self) -> bool:
        """Whether upstream has yet to answer a change of the session."""
        ...

    def sent(self, data: str | bytes) -> None:
        """The client has sent this, of which nothing else is known."""
        ...

    def asked(self, event: ClientEvent) -> None:
        """The client changes the session, or has begun a turn."""
        ...

    def told(self, event: ServerEvent, ask: Ask | None = None) -> None:
        """Upstream says how the session is, or what a turn, which was this, has read and written."""
        ...

    def failed(self, caused_by: str | None, ask: Ask | None) -> bool:
        """Upstream refuses an event: whether it is a change of the session, and not this turn."""
        ...

    def turn(self, event: ClientEvent | None, *, for_limits: bool) -> Ask:
        """None: nobody asked for it, upstream has heard the end of a sentence. An event that asks for a turn
        is `sent` and `asked` once that may begin.
        """
        ...


class ResponsesState:
    """Every turn says for itself what it is: there is no session."""

    model = ""
    transcription_model = ""
    is_realtime = False
    session = first_session = b"{}"
    is_changing = False

    def sent(self, data: str | bytes) -> None:
        pass

    def asked(self, event: ClientEvent) -> None:
        pass

    def told(self, event: ServerEvent, ask: Ask | None = None) -> None:
        pass

    def failed(self, caused_by: str | None, ask: Ask | None) -> bool:
        return False

    def turn(self, event: ClientEvent | None, *, for_limits: bool) -> Ask:
        if event is None:
            return Ask((Facts(is_stream=True),), 0)
        document = event.document.encode()
        facts = peek(document, "/responses", for_limits=for_limits)
        # The name that was checked, where upstream reads it.
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
    session: bytes = b"{}"
    first_session: bytes = b"{}"
    _max_output_tokens: int | None = None
    _unanswered: deque[ClientEvent] = field(default_factory=lambda: deque(maxlen=MAX_UNANSWERED))
    _context_tokens: int = 0
    """The most that a turn has read and written."""
    _sent_bytes: int = 0
    """All that ever was."""
    _counted_bytes: int = 0
    """Of these, what the context has in model tokens."""
    _refers_elsewhere: bool = False

    @property
    def is_changing(self) -> bool:
        return bool(self._unanswered)

    def sent(self, data: str | bytes) -> None:
        size = size_of(data)
        self._sent_bytes += size // AUDIO_BYTES_PER_TEXT_BYTE if _is_audio(data) else size

    def asked(self, event: ClientEvent) -> None:
        self._refers_elsewhere = self._refers_elsewhere or event.refers_elsewhere
        if event.kind in SESSIONS:
            self._unanswered.append(msgspec.structs.replace(event, document=""))

    def told(self, event: ServerEvent, ask: Ask | None = None) -> None:
        if event.session is not None:
            self._confirm(event.kind, event.session)
        elif event.usage is not None and event.usage.input_tokens:
            tokens = event.usage.input_tokens + (event.usage.output_tokens or 0)
            self._context_tokens = max(self._context_tokens, tokens)
            if ask is not None:
                self._counted_bytes = max(self._counted_bytes, ask.seen_bytes)

    def failed(self, caused_by: str | None, ask: Ask | None) -> bool:
        refused = next((change for change in self._unanswered if change.event_id == caused_by), None)
        if refused is None or (ask is not None and all(change is not refused for change in ask.behind)):
            return False
        self._unanswered.remove(refused)
        return True

    def turn(self, event: ClientEvent | None, *, for_limits: bool) -> Ask:
        # Upstream has answered all that was sent before a turn of its own began.
        unanswered = tuple(self._unanswered) if event is not None else ()
        seen_bytes = self._sent_bytes + (size_of(event.document) if event is not None else 0)
        refers_elsewhere = event is not None and event.refers_elsewhere
        facts = Facts(
            is_stream=True,
            max_output_tokens=self._most_output(event, unanswered),
            has_input_elsewhere=refers_elsewhere or self._refers_elsewhere or self.joins,
        )
        models = [self.model, *(change.model for change in unanswered if change.model)]
        return Ask(
            tuple(msgspec.structs.replace(facts, model=model) for model in dict.fromkeys(models)),
            self._context_tokens * BYTES_PER_MODEL_TOKEN + seen_bytes - self._counted_bytes,
            seen_bytes=0 if event is not None and event.is_beside else seen_bytes,
            behind=unanswered,
        )

    def _most_output(self, event: ClientEvent | None, unanswered: tuple[ClientEvent, ...]) -> int | None:
        """None if it is not known. What a turn says of itself holds, whatever the session is."""
        if event is not None and event.output is not None:
            return event.output.max_tokens
        said = [change.output.max_tokens for change in unanswered if change.output is not None]
        return _largest([self._max_output_tokens, *said])

    def _confirm(self, kind: str, session: SessionReport) -> None:
        """Of what upstream does not say it has taken what it was asked for."""
        accepted = self._unanswered.popleft() if kind in UPDATED and self._unanswered else None
        self.model = session.model or (accepted.model if accepted else "") or self.model
        self.transcription_model = (
            session.transcription_model
            or (accepted.transcription_model if accepted else "")
            or self.transcription_model
        )
        self._max_output_tokens = session.max_output_tokens
        self.session = session.document if len(session.document) <= MAX_SESSION_BYTES else OVERLONG
        if kind not in UPDATED:
            self.first_session = self.session


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

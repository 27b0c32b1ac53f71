"""The meter of event streams: what they report, how much has come, and whether they came to their end."""

import re
from dataclasses import replace
from enum import Enum

import msgspec

from proxy.metering.background import Work, read_work
from proxy.metering.event_stream import EventStreamDecoder
from proxy.metering.event_type import first_type, has_error, type_of
from proxy.metering.excerpt import Excerpt
from proxy.metering.usage import Usage, read_model, read_usage


class End(Enum):
    CERTAIN = "nothing of account follows"
    POSSIBLE = "the stream may end here"


_ENDS = {
    b"response.completed": End.CERTAIN,
    b"response.incomplete": End.CERTAIN,
    b"response.failed": End.CERTAIN,
    b"speech.audio.done": End.CERTAIN,
    b"transcript.text.done": End.CERTAIN,
    b"response.cancelled": End.POSSIBLE,
    b"image_generation.completed": End.POSSIBLE,
    b"image_edit.completed": End.POSSIBLE,
    b"error": End.POSSIBLE,
}
"""By the type of an event. Of all others another must follow, if the stream's kind is known."""
_KNOWN_TYPES = (b"response.", b"image_generation.", b"image_edit.", b"speech.", b"transcript.")
_KNOWN_OBJECT = re.compile(rb'"object"\s*:\s*"(?:chat\.completion\.chunk|text_completion|thread\.run)"')
"""Of a stream whose kind is not known, nobody can say how it ends."""
_FINISHED = re.compile(rb'"finish_reason"\s*:\s*"[^"]')
_OF_ACCOUNT = re.compile(rb'"(?:usage|type|finish_reason|background|error|index(?!":0))"(?!:null)')
"""What must be read of a piece, if there is any."""
_BEGINNING_BYTES = 1024
_SEVERAL = re.compile(rb'"index"\s*:\s*[1-9]')
MAX_CHOICES = 1024
"""That are watched of a stream: a meter's memory is bounded."""
MAX_REASON = 200
"""Characters: upstream chooses them."""


class _Choice(msgspec.Struct):
    index: int = 0
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []


_chunks = msgspec.json.Decoder(_Chunk)


class EventStreamMeter:
    """The last usage that any event reported is the one that counts."""

    def __init__(self, *, must_have_events: bool = False, choices: int = 1) -> None:
        """At least so many `choices` were asked for: each of them must finish."""
        self.pieces = 0
        self.has_ended = False
        self._decoder = EventStreamDecoder()
        self._usage: Usage | None = None
        self._reported = b""
        self._must_end: bool | None = None
        self._must_have_events = must_have_events
        self._may_end = False
        self._has_finished = False
        """Whether any choice is."""
        self._choices = min(choices, MAX_CHOICES)
        self._open: set[int] = set()
        """Of several choices: those that have begun and are not finished."""
        self._reasons: dict[int, str] = {}
        """Why each choice that is finished is, by its index."""
        self._type = b""
        """How the last piece began, if it named its type first."""
        self._work: Work | None = None
        self._model = ""
        self._naming = b""
        """The last event with a model, up to that by which the stream's kind is known: almost always the
        first one of all. It is read if somebody wants to know.
        """

    @property
    def is_cut_off(self) -> bool:
        self._take_rest()
        if self.has_ended or self._may_end or self._have_all_finished:
            return False
        return self._must_have_events if self._must_end is None else self._must_end

    def feed(self, chunk: bytes) -> None:
        start = self._decoder.start_of_one(chunk)
        if start and self._must_end and self._is_mere_piece(chunk, start):
            self.pieces += 1
            return
        for data in self._decoder.feed(chunk):
            if isinstance(data, Excerpt):
                self._take_long(data)
            else:
                self._read(data)

    def finish(self) -> Usage | None:
        self._take_rest()
        return self._usage

    def work(self) -> Work | None:
        return self._work

    def reported(self) -> bytes:
        return self._reported

    def model(self) -> str:
        return self._model or read_model(self._naming)

    def finish_reasons(self) -> tuple[str, ...]:
        return tuple(reason for _, reason in sorted(self._reasons.items()))

    @property
    def _have_all_finished(self) -> bool:
        """As far as they have begun. Of one choice it is enough to have seen that it is."""
        if self._choices > 1 and len(self._reasons) < self._choices:
            return False
        return self._has_finished and not self._open

    def _take_rest(self) -> None:
        rest = self._decoder.take_rest()
        if rest is not None:
            self._read(rest)

    def _read(self, data: bytes) -> None:
        if self._must_end and self._is_mere_piece(data, 0):
            self.pieces += 1
            return
        if b'"usage"' in data and data.count(b'"usage"') > data.count(b'"usage":null'):
            self._usage = read_usage(data) or self._usage
            self._reported = data
        if not self._must_end and b'"model"' in data:
            self._naming = data
        self._take(data, data)
        is_of_run = b'"thread.run"' in data  # few are, and each may be the one that says how it ended
        if is_of_run or (b'"background"' in data and (self._work is None or self.has_ended)):
            self._work = read_work(data) or self._work

    def _is_mere_piece(self, chunk: bytes, start: int) -> bool:
        """As almost all are, and then there is little to do: its data ends nothing and reports nothing."""
        after_type = start + len(self._type) if chunk.startswith(self._type, start) else start
        return chunk.find(b'"delta"', start) >= 0 and _OF_ACCOUNT.search(chunk, after_type) is None

    def _take(self, head: bytes, tail: bytes) -> None:
        """An event, by its beginning and its end."""
        is_piece = b'"delta"' in head or b'"text_completion"' in head
        kind = type_of(head, tail, is_plain=is_piece)
        end = _ENDS.get(kind)
        if end is End.CERTAIN or head.startswith(b"[DONE]"):
            self.has_ended = True
        elif is_piece:
            self.pieces += 1
            self._type = first_type(head)
            self._take_choices(head)
            self._may_end = self._may_end or has_error(head)
        elif end is End.POSSIBLE or has_error(head):
            self._may_end = True
        if not self._must_end:
            self._must_end = (
                kind.startswith(_KNOWN_TYPES) or _KNOWN_OBJECT.search(head, 0, _BEGINNING_BYTES) is not None
            )

    def _take_choices(self, head: bytes) -> None:
        has_finished = b'"finish_reason"' in head and _FINISHED.search(head) is not None
        self._has_finished = self._has_finished or has_finished
        if not (has_finished or self._must_end is None or _SEVERAL.search(head)):
            return
        try:
            choices = _chunks.decode(head).choices
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        for choice in choices:
            if not 0 <= choice.index < MAX_CHOICES:
                continue
            if choice.finish_reason:
                self._reasons[choice.index] = choice.finish_reason[:MAX_REASON]
                self._reported = self._reported or head
            self._open.add(choice.index)
        self._open.difference_update(self._reasons)

    def _take_long(self, excerpt: Excerpt) -> None:
        self._usage = excerpt.usage() or self._usage
        if not self._must_end:
            self._model = self._model or excerpt.model()
        self._take(excerpt.head, excerpt.tail())
        work = excerpt.work()
        if work is not None:  # its status may stand where nothing was kept
            self._work = replace(work, is_finished=work.is_finished or self.has_ended)

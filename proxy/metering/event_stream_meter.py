"""The meter of event streams: what they report, how much has come, and whether they came to their end."""

import re

from proxy.metering.background import Work, read_work
from proxy.metering.event_stream import EventStreamDecoder
from proxy.metering.excerpt import Excerpt
from proxy.metering.usage import Usage, read_usage

_LAST_EVENTS = (
    b"[DONE]",
    b'{"type":"response.completed"',
    b'{"type":"response.incomplete"',
    b'{"type":"response.failed"',
    b'{"type":"speech.audio.done"',
    b'{"type":"transcript.text.done"',
)
"""How they begin. One that is spelt otherwise is only noticed later, at the stream's end."""
_END = re.compile(
    rb'"type"\s*:\s*"(?:response\.(?:completed|incomplete|failed|cancelled)|image_generation\.completed'
    rb'|image_edit\.completed|speech\.audio\.done|transcript\.text\.done|error)"|"error"\s*:\s*[{"]'
)
_FINISHED = re.compile(rb'"finish_reason"\s*:\s*"')
_KNOWN = re.compile(
    rb'"object"\s*:\s*"(?:chat\.completion\.chunk|text_completion|thread\.run)"'
    rb'|"type"\s*:\s*"(?:response|image_generation|image_edit|speech|transcript)\.'
)
"""Of a stream whose kind is not known, nobody can say how it ends."""
_BEGINNING_BYTES = 1024


class EventStreamMeter:
    """The last usage that any event reported is the one that counts."""

    def __init__(self, *, must_have_events: bool = False) -> None:
        self.pieces = 0
        self.has_ended = False
        self._decoder = EventStreamDecoder(on_long=self._take_long)
        self._usage: Usage | None = None
        self._must_end: bool | None = None
        self._must_have_events = must_have_events
        self._has_finished = False
        self._work: Work | None = None

    @property
    def is_cut_off(self) -> bool:
        if self.has_ended or self._has_finished:
            return False
        return self._must_have_events if self._must_end is None else self._must_end

    def feed(self, chunk: bytes) -> None:
        for data in self._decoder.feed(chunk):
            if b'"usage"' in data and data.count(b'"usage"') > data.count(b'"usage":null'):
                self._usage = read_usage(data) or self._usage
            if b'"delta"' in data or b'"text_completion"' in data:
                self.pieces += 1
                if b'"finish_reason":null' not in data and b'"finish_reason"' in data:
                    self._has_finished = self._has_finished or _FINISHED.search(data) is not None
            else:
                self._take_beginning(data)
            if self._must_end is None:
                self._must_end = _is_known(data)
                self._work = read_work(data) if b'"background"' in data else None

    def finish(self) -> Usage | None:
        return self._usage

    def work(self) -> Work | None:
        return self._work

    def _take_beginning(self, data: bytes) -> None:
        if data.startswith(_LAST_EVENTS):
            self.has_ended = True
            if b'"background"' in data:
                self._work = read_work(data) or self._work
        elif _END.search(data, 0, _BEGINNING_BYTES):
            self._has_finished = True

    def _take_long(self, excerpt: Excerpt) -> None:
        self._usage = excerpt.usage() or self._usage
        if b'"delta"' in excerpt.head:
            self.pieces += 1
        self._take_beginning(excerpt.head)
        self._work = excerpt.work() or self._work
        if self._must_end is None:
            self._must_end = _is_known(excerpt.head)


def _is_known(data: bytes) -> bool:
    return _KNOWN.search(data, 0, _BEGINNING_BYTES) is not None

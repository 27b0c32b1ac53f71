"""Meters: they listen to an answer as it passes, change nothing, and say at the end what it used."""

import zlib
from typing import Protocol

from proxy.endpoints import Endpoint
from proxy.headers import first, media_type
from proxy.metering.event_stream import EventStreamDecoder
from proxy.metering.usage import Usage, read_usage
from proxy.types import Headers

MAX_DOCUMENT_BYTES = 4 * 1024 * 1024
"""A JSON answer beyond this is not metered: a meter's memory is bounded."""
MAX_INFLATED_CHUNK_BYTES = 1024 * 1024
_LAST_EVENTS = (
    b"[DONE]",
    b'{"type":"response.completed"',
    b'{"type":"response.incomplete"',
    b'{"type":"response.failed"',
)
"""How they begin. One that is spelt otherwise is only noticed later, at the stream's end."""


class Meter(Protocol):
    @property
    def pieces(self) -> int:
        """Parts of a stream that carried some output: each is a model token, or a few."""
        ...

    @property
    def has_ended(self) -> bool:
        """Whether the answer has said that nothing of account follows: clients may not wait for its end."""
        ...

    def feed(self, chunk: bytes) -> None: ...

    def finish(self) -> Usage | None:
        """What the answer reported, as far as it has passed; None if nothing."""
        ...


def meter_for(endpoint: Endpoint, headers: Headers) -> Meter:
    """The meter that reads an answer with these headers (lower-case names)."""
    if endpoint.usage == "none":
        return Deaf()
    meter = _meter_of_type(media_type(headers))
    coding = (first(headers, b"content-encoding") or b"identity").strip().lower()
    if coding == b"identity":
        return meter
    return Inflating(meter) if coding == b"gzip" else Deaf()


def _meter_of_type(media: bytes) -> Meter:
    if media == b"text/event-stream":
        return EventStreamMeter()
    if media == b"application/json":
        return JSONMeter()
    return Deaf()


class Deaf:
    """For what reports nothing."""

    pieces = 0
    has_ended = False

    def feed(self, chunk: bytes) -> None:
        pass

    def finish(self) -> Usage | None:
        return None


class JSONMeter:
    pieces = 0
    has_ended = False

    def __init__(self, max_document_bytes: int = MAX_DOCUMENT_BYTES) -> None:
        self._max_document_bytes = max_document_bytes
        self._chunks: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self._max_document_bytes:
            self._chunks.clear()
        else:
            self._chunks.append(chunk)

    def finish(self) -> Usage | None:
        return read_usage(b"".join(self._chunks)) if self._chunks else None


class EventStreamMeter:
    """The last usage that any event reported is the one that counts."""

    def __init__(self) -> None:
        self.pieces = 0
        self.has_ended = False
        self._decoder = EventStreamDecoder()
        self._usage: Usage | None = None

    def feed(self, chunk: bytes) -> None:
        for data in self._decoder.feed(chunk):
            if b'"usage"' in data:
                self._usage = read_usage(data) or self._usage
            if b'"delta"' in data or b'"text_completion"' in data:
                self.pieces += 1
            elif data.startswith(_LAST_EVENTS):
                self.has_ended = True

    def finish(self) -> Usage | None:
        return self._usage


class Inflating:
    """Feeds another meter with the decoded copy of a gzip stream; deaf from the first broken byte on."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        self._broken = False

    @property
    def pieces(self) -> int:
        return self._meter.pieces

    @property
    def has_ended(self) -> bool:
        return self._meter.has_ended

    def feed(self, chunk: bytes) -> None:
        if self._broken:
            return
        try:
            while chunk:
                self._meter.feed(self._inflate.decompress(chunk, MAX_INFLATED_CHUNK_BYTES))
                chunk = self._inflate.unconsumed_tail
        except zlib.error:
            self._broken = True

    def finish(self) -> Usage | None:
        return self._meter.finish()

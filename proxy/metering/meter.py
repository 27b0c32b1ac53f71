"""Meters: they listen to an answer as it passes, change nothing, and say at the end what it used."""

import zlib
from typing import Protocol

from proxy.endpoints import Endpoint
from proxy.headers import first, media_type
from proxy.metering.background import Work, read_work
from proxy.metering.event_stream_meter import EventStreamMeter
from proxy.metering.excerpt import Excerpt
from proxy.metering.usage import Usage, read_usage
from proxy.types import Headers

MAX_DOCUMENT_BYTES = 4 * 1024 * 1024
"""Of a longer JSON answer only an excerpt is kept: a meter's memory is bounded."""
INFLATED_STEP_BYTES = 1024 * 1024
MAX_INFLATED_CHUNK_BYTES = 4 * 1024 * 1024
"""Of one chunk: what takes long to read holds up all others."""
MAX_INFLATION = 64
"""Times the size of all that has come, and what one chunk may be besides."""


class Meter(Protocol):
    @property
    def pieces(self) -> int:
        """Parts of a stream that carried some output: each is a model token, or a few."""
        ...

    @property
    def has_ended(self) -> bool:
        """Whether the answer has said that nothing of account follows: clients may not wait for its end."""
        ...

    @property
    def is_cut_off(self) -> bool:
        """At the answer's end: whether it is not the end that such an answer has."""
        ...

    def feed(self, chunk: bytes) -> None: ...

    def finish(self) -> Usage | None:
        """What the answer reported, as far as it has passed; None if nothing."""
        ...

    def work(self) -> Work | None:
        """What the answer is about, if that goes on upstream by itself."""
        ...

    def reported(self) -> bytes:
        """The document that has reported the usage: the answer, or an event; empty where it is not kept. Of a
        stream that has reported none, an event that has ended a choice.
        """
        ...

    def model(self) -> str:
        """The model that the answer names, also where it reports nothing; empty if none."""
        ...

    def finish_reasons(self) -> tuple[str, ...]:
        """Why the choices of a stream have ended, in the order of their index. Of a JSON answer, the document
        itself says it.
        """
        ...


def meter_for(endpoint: Endpoint, headers: Headers, method: str = "POST", *, choices: int = 1) -> Meter:
    """The meter that reads an answer with these headers (lower-case names). At least so many `choices` were
    asked for.
    """
    media = media_type(headers)
    if media == b"text/event-stream":
        meter: Meter = EventStreamMeter(must_have_events=endpoint.may_cost(method), choices=choices)
    elif media == b"application/json" and (endpoint.usage != "none" or endpoint.background):
        meter = JSONMeter()
    else:
        return Deaf()
    coding = (first(headers, b"content-encoding") or b"identity").strip().lower()
    if coding == b"identity":
        return meter
    return Inflating(meter) if coding == b"gzip" else Deaf()


class Deaf:
    """For what reports nothing."""

    pieces = 0
    has_ended = False
    is_cut_off = False

    def feed(self, chunk: bytes) -> None:
        pass

    def finish(self) -> Usage | None:
        return None

    def work(self) -> Work | None:
        return None

    def reported(self) -> bytes:
        return b""

    def model(self) -> str:
        return ""

    def finish_reasons(self) -> tuple[str, ...]:
        return ()


class JSONMeter:
    pieces = 0
    has_ended = False
    is_cut_off = False

    def __init__(self, max_document_bytes: int = MAX_DOCUMENT_BYTES) -> None:
        self._max_document_bytes = max_document_bytes
        self._chunks: list[bytes] = []
        self._size = 0
        self._excerpt: Excerpt | None = None

    def feed(self, chunk: bytes) -> None:
        if self._excerpt is not None:
            self._excerpt.feed(chunk)
            return
        self._size += len(chunk)
        self._chunks.append(chunk)
        if self._size > self._max_document_bytes:
            self._excerpt = Excerpt()
            self._excerpt.feed(b"".join(self._chunks))
            self._chunks.clear()

    def finish(self) -> Usage | None:
        if self._excerpt is not None:
            return self._excerpt.usage()
        return read_usage(b"".join(self._chunks)) if self._chunks else None

    def work(self) -> Work | None:
        return self._excerpt.work() if self._excerpt is not None else read_work(b"".join(self._chunks))

    def reported(self) -> bytes:
        return b"".join(self._chunks)

    def model(self) -> str:
        excerpt = self._excerpt
        if excerpt is None:  # the answer may have broken off: it is no document then
            excerpt = Excerpt()
            excerpt.feed(b"".join(self._chunks))
        return excerpt.model()

    def finish_reasons(self) -> tuple[str, ...]:
        return ()


class Inflating:
    """Feeds another meter with the decoded copy of a gzip stream, of any number of members; deaf from the
    first broken byte on, and where it is far longer than it came.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._inflate = _gunzip()
        self._broken = False
        self._bytes = 0
        self._inflated_bytes = 0

    @property
    def pieces(self) -> int:
        return self._meter.pieces

    @property
    def has_ended(self) -> bool:
        return self._meter.has_ended

    @property
    def is_cut_off(self) -> bool:
        return self._meter.is_cut_off and not self._broken

    def feed(self, chunk: bytes) -> None:
        if self._broken:
            return
        self._bytes += len(chunk)
        before = self._inflated_bytes
        try:
            while chunk:
                part = self._inflate.decompress(chunk, INFLATED_STEP_BYTES)
                self._inflated_bytes += len(part)
                if self._is_bomb(self._inflated_bytes - before):
                    self._broken = True
                    return
                self._meter.feed(part)
                chunk = self._inflate.unconsumed_tail
                if self._inflate.eof:
                    chunk = self._inflate.unused_data.lstrip(b"\0")  # some writers pad
                    self._inflate = _gunzip()
        except zlib.error:
            self._broken = True

    def finish(self) -> Usage | None:
        return self._meter.finish()

    def work(self) -> Work | None:
        return self._meter.work()

    def reported(self) -> bytes:
        return self._meter.reported()

    def model(self) -> str:
        return self._meter.model()

    def finish_reasons(self) -> tuple[str, ...]:
        return self._meter.finish_reasons()

    def _is_bomb(self, of_this_chunk: int) -> bool:
        in_all = self._bytes * MAX_INFLATION + MAX_INFLATED_CHUNK_BYTES
        return of_this_chunk > MAX_INFLATED_CHUNK_BYTES or self._inflated_bytes > in_all


def _gunzip() -> "zlib._Decompress":
    return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)

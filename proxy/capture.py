"""Captures: what is kept of the bodies of requests whose project wants it, while they run.

They listen; nothing waits for them. Each holds at most what its project permits, and all together what there
is room for: where that is used up, a capture is dropped and counted, and its request goes on.
"""

import re
from collections.abc import AsyncIterator, Callable
from functools import partial
from uuid import UUID

import httpx

from proxy.headers import first, media_type
from proxy.request import ProxyRequest, StreamedBody
from proxy.types import Headers
from tokens.grant import Grant
from usage.captures.raw import CAPTURE_BYTES, RawBody, RawCapture, Room
from usage.entry import UsageEntry
from usage.sampling import is_sampled, went_well

_MEDIA_TYPE = re.compile(rb"[a-z0-9.+-]{1,60}/[a-z0-9.+-]{1,60}")


class Captures:
    def __init__(self, put: Callable[[RawCapture], None], room: Room) -> None:
        """`put` takes what is finished."""
        self._put = put
        self._room = room
        self.running: dict[UUID, Capture] = {}
        self.dropped = 0
        """Since the beginning."""

    def begin(self, grant: Grant, entry: UsageEntry) -> "Capture | None":
        """None: this request is not kept."""
        rule = grant.capture
        if rule is None or not is_sampled(entry.id, rule.sample):
            return None
        if not self._room.take(CAPTURE_BYTES):
            self.dropped += 1
            return None
        raw = RawCapture(entry.id, grant.project_id, entry.started_at, rule, self._room.give_back)
        capture = self.running[entry.id] = Capture(raw, self._room, self._drop)
        return capture

    def finish(self, entry: UsageEntry) -> None:
        """The request has ended so."""
        capture = self.running.pop(entry.id, None)
        if capture is None:
            return
        capture.is_over = True
        if capture.raw.rule.only_failures and went_well(entry):
            capture.raw.forget()
        else:
            self._put(capture.raw)

    def _drop(self, capture: "Capture") -> None:
        self.dropped += 1
        capture.is_over = True
        self.running.pop(capture.raw.request_id, None)
        capture.raw.forget()


class Capture:
    """Of one request, from its admission on."""

    def __init__(self, raw: RawCapture, room: Room, drop: Callable[["Capture"], None]) -> None:
        self.raw = raw
        self._room = room
        self._drop = drop
        self.is_over = False
        """Whether it is somebody else's by now: nothing is added any more."""

    def hear_request(self, request: ProxyRequest, body: bytes | StreamedBody) -> bytes | StreamedBody:
        """The body, as it then goes on."""
        self.raw.request = _body_with(request.headers)
        if isinstance(body, bytes):
            self.note(self.raw.request, body)
            return body
        return _HeardBody(body, partial(self.note, self.raw.request))

    def hear_answer(self, response: httpx.Response) -> None:
        """From here on its body is heard as it passes."""
        headers = [(name.lower(), value) for name, value in response.headers.raw]
        self.raw.answer = _body_with(headers)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _HeardAnswer(response.stream, partial(self.note, self.raw.answer))

    def note(self, body: RawBody, chunk: bytes) -> None:
        if self.is_over:
            return
        body.size_bytes += len(chunk)
        if not body.is_readable:
            return
        left = self.raw.rule.max_bytes - len(body.data)
        if left <= 0:
            return
        piece = chunk[:left]
        if not self._room.take(len(piece)):
            self._drop(self)
            return
        self.raw.held_bytes += len(piece)
        body.data += piece


class _Heard:
    """The pieces of a body as they pass. No generator: nobody would close it where a request is cancelled."""

    def __init__(self, pieces: AsyncIterator[bytes], note: Callable[[bytes], None]) -> None:
        self._pieces = pieces
        self._note = note

    def __aiter__(self) -> "_Heard":
        return self

    async def __anext__(self) -> bytes:
        piece = await anext(self._pieces)
        self._note(piece)
        return piece


class _HeardBody(StreamedBody):
    def __init__(self, body: StreamedBody, note: Callable[[bytes], None]) -> None:
        self._body = body
        self._note = note

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Heard(aiter(self._body), self._note)


class _HeardAnswer(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, note: Callable[[bytes], None]) -> None:
        self._stream = stream
        self._note = note

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Heard(aiter(self._stream), self._note)

    async def aclose(self) -> None:
        await self._stream.aclose()


def _body_with(headers: Headers) -> RawBody:
    """What is no media type as people write them says nothing, and is not kept."""
    media = media_type(headers)
    coding = (first(headers, b"content-encoding") or b"identity").strip().lower()
    return RawBody(media.decode() if _MEDIA_TYPE.fullmatch(media) else "", coding.decode("latin-1"))

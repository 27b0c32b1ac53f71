"""Captures of running requests: what they hold, and that they give it back."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from projects.capture import CaptureRule
from proxy.capture import Capture, Captures
from proxy.request import ProxyRequest
from tests.grants import make_grant
from usage.captures.raw import CAPTURE_BYTES, RawCapture, Room
from usage.entry import UsageEntry
from usage.outcomes import Outcome

JSON = [(b"content-type", b"application/json")]


class Desk:
    def __init__(self, room_bytes: int = 10_000, **rule: Any) -> None:
        facts = {"only_failures": False, "sample": 1.0, "max_bytes": 100}
        facts |= {"redacted": (), "redacts_addresses": True} | rule
        self.grant = make_grant(capture=CaptureRule(**facts))
        self.room_bytes = room_bytes
        self.room = Room(room_bytes)
        self.put: list[RawCapture] = []
        self.captures = Captures(self.put.append, self.room)

    def begin(self) -> tuple[UsageEntry, Capture | None]:
        entry = UsageEntry(id=uuid7(), started_at=0, method="POST", path="/v1/x", status=200)
        entry.outcome = Outcome.COMPLETED
        return entry, self.captures.begin(self.grant, entry)

    def is_empty(self) -> bool:
        is_free = self.room.take(self.room_bytes)
        if is_free:
            self.room.give_back(self.room_bytes)
        return is_free and not self.captures.running


class Pieces(httpx.AsyncByteStream):
    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces
        self.is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece

    async def aclose(self) -> None:
        self.is_closed = True


async def passed(capture: Capture, *pieces: bytes, headers: dict[str, str] | None = None) -> bytes:
    """What goes on of an answer in these pieces."""
    stream = Pieces(*pieces)
    response = httpx.Response(200, headers=headers or {"content-type": "application/json"}, stream=stream)
    capture.hear_answer(response)
    assert isinstance(response.stream, httpx.AsyncByteStream)
    whole = b"".join([piece async for piece in response.stream])
    await response.aclose()
    assert stream.is_closed
    return whole


async def test_bodies_pass_as_they_are_and_their_beginnings_are_kept() -> None:
    desk = Desk()
    entry, capture = desk.begin()
    assert capture is not None
    body = b"x" * 150
    assert capture.hear_request(ProxyRequest("POST", "/x", b"", JSON, 150), body) is body
    assert await passed(capture, b"a" * 60, b"b" * 60) == b"a" * 60 + b"b" * 60
    desk.captures.finish(entry)
    (raw,) = desk.put
    assert (raw.request.size_bytes, len(raw.request.data)) == (150, 100)
    assert (raw.answer.size_bytes, bytes(raw.answer.data)) == (120, b"a" * 60 + b"b" * 40)
    assert raw.held_bytes == CAPTURE_BYTES + 200
    raw.forget()
    assert desk.is_empty()


async def test_of_what_cannot_be_kept_nothing_is_held() -> None:
    desk = Desk()
    _, capture = desk.begin()
    assert capture is not None
    await passed(capture, b"RIFF" * 100, headers={"content-type": "audio/wav"})
    assert (capture.raw.answer.size_bytes, len(capture.raw.answer.data)) == (400, 0)
    assert capture.raw.held_bytes == CAPTURE_BYTES


async def test_what_comes_after_the_end_is_nobodys() -> None:
    """As after a stream's last event: by then another thread has it."""
    desk = Desk()
    entry, capture = desk.begin()
    assert capture is not None
    desk.captures.finish(entry)
    desk.put[0].forget()
    await passed(capture, b"more")
    assert desk.is_empty()


def test_without_room_a_capture_is_dropped_and_counted() -> None:
    desk = Desk(room_bytes=CAPTURE_BYTES + 150)
    entry, capture = desk.begin()
    assert capture is not None
    _, second = desk.begin()
    assert (second, desk.captures.dropped) == (None, 1)
    request = ProxyRequest("POST", "/x", b"", JSON, 100)
    capture.hear_request(request, b"x" * 100)
    capture.note(capture.raw.answer, b"")
    capture.hear_answer(httpx.Response(200, headers={"content-type": "application/json"}, stream=Pieces()))
    capture.note(capture.raw.answer, b"x" * 100)
    assert desk.captures.dropped == 2
    desk.captures.finish(entry)
    assert desk.put == []
    assert desk.is_empty()


def test_of_failures_only_what_went_well_is_forgotten() -> None:
    desk = Desk(only_failures=True)
    well, _ = desk.begin()
    desk.captures.finish(well)
    badly, _ = desk.begin()
    badly.status = 500
    desk.captures.finish(badly)
    assert [raw.request_id for raw in desk.put] == [badly.id]


@pytest.mark.parametrize("rule", [{"sample": 0.0}])
def test_what_is_not_in_the_share_is_not_begun(rule: dict[str, Any]) -> None:
    desk = Desk(**rule)
    assert desk.begin()[1] is None
    assert desk.is_empty()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 200)), max_size=40), st.integers(0, 12_000))
def test_room_is_never_exceeded_and_all_of_it_comes_back(acts: list[tuple[int, int]], room: int) -> None:
    desk = Desk(room_bytes=room)
    running: list[tuple[UsageEntry, Capture]] = []
    for act, size in acts:
        if act == 0:
            entry, capture = desk.begin()
            if capture is not None:
                capture.hear_request(ProxyRequest("POST", "/x", b"", JSON, size), b"x" * size)
                running.append((entry, capture))
        elif running and act == 1:
            desk.captures.finish(running.pop(size % len(running))[0])
        elif running and act == 2:
            running[size % len(running)][1].note(running[size % len(running)][1].raw.request, b"y" * size)
        elif desk.put and act == 3:
            desk.put.pop().forget()
        held = sum(raw.held_bytes for raw in desk.put) + sum(
            capture.raw.held_bytes for capture in desk.captures.running.values()
        )
        assert held <= room
    for entry, _ in running:
        desk.captures.finish(entry)
    for raw in desk.put:
        raw.forget()
    assert desk.is_empty()

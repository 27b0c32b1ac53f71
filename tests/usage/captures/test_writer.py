"""The thread that writes what was captured."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError
from uuid_utils.compat import uuid7

from projects.capture import CaptureRule
from projects.models import Project
from tests.factories import CapturedBodiesFactory, ProjectFactory
from tests.live import eventually
from usage.captures import writer as writers
from usage.captures.content import reveal
from usage.captures.raw import CAPTURE_BYTES, RawBody, RawCapture, Room
from usage.captures.writer import CaptureWriter
from usage.models import CapturedBodies

ROOM = 100_000
RULE = CaptureRule(False, 1.0, 10_000, (), True)


class Desk:
    """A writer, and the room that what it is handed takes."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._room = Room(ROOM)
        self.writer = CaptureWriter(batch_seconds=0.01)

    def put(self, data: bytes = b'{"a": 1}') -> RawCapture:
        assert self._room.take(CAPTURE_BYTES)
        raw = RawCapture(uuid7(), self._project.pk, time.time(), RULE, self._room.give_back)
        raw.request = RawBody("application/json", size_bytes=len(data), data=bytearray(data))
        self.writer.put(raw)
        return raw

    def is_empty(self) -> bool:
        """Whether all room is free again."""
        if not self._room.take(ROOM):
            return False
        self._room.give_back(ROOM)
        return True


@pytest.fixture
def desk(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(writers, "RETRY_SECONDS", 0.01)
    found = Desk(ProjectFactory.create())
    yield found
    found.writer.stop()


def stored() -> set[Any]:
    return set(CapturedBodies.objects.values_list("pk", flat=True))


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The next so many writes fail."""
    left = [0]
    write = CaptureWriter._write

    def failing(self: CaptureWriter, batch: list[CapturedBodies]) -> None:
        if left[0]:
            left[0] -= 1
            raise OperationalError("it is away")
        write(self, batch)

    monkeypatch.setattr(CaptureWriter, "_write", failing)
    return left


def test_what_is_handed_over_is_written_and_its_room_given_back(desk: Desk) -> None:
    raws = [desk.put() for _ in range(30)]
    desk.writer.start()
    eventually(desk.is_empty)
    assert stored() == {raw.request_id for raw in raws}
    assert reveal(CapturedBodies.objects.all()[0].ciphertext).request.text == '{"a":1}'


def test_what_waits_at_the_end_is_written(desk: Desk) -> None:
    desk.writer.start()
    raws = [desk.put() for _ in range(5)]
    assert desk.writer.stop() == 0
    assert stored() == {raw.request_id for raw in raws}


def test_while_the_database_is_away_it_waits(desk: Desk, fail: list[int]) -> None:
    fail[0] = 5
    raw = desk.put()
    desk.writer.start()
    eventually(desk.is_empty)
    assert (fail[0], desk.writer.lost) == (0, 0)
    assert stored() == {raw.request_id}


def test_what_the_database_never_takes_is_given_up(desk: Desk, fail: list[int]) -> None:
    fail[0] = writers.MAX_FAILURES + 1
    first, second = desk.put(), desk.put()
    desk.writer.start()
    eventually(desk.is_empty)
    assert desk.writer.lost == 1
    assert stored() == {second.request_id} != {first.request_id}


def test_what_is_written_already_stays_as_it_is(desk: Desk) -> None:
    raw = desk.put()
    CapturedBodiesFactory(id=raw.request_id, text="before")
    other = desk.put()
    desk.writer.start()
    eventually(desk.is_empty)
    assert stored() == {raw.request_id, other.request_id}
    assert "before" in (reveal(CapturedBodies.objects.get(pk=raw.request_id).ciphertext).request.text or "")


def test_a_body_that_cannot_be_read_does_not_hold_up_the_others(desk: Desk) -> None:
    deep = desk.put(b"[" * 9_000 + b"]" * 9_000)
    well = desk.put()
    desk.writer.start()
    eventually(desk.is_empty)
    assert well.request_id in stored()
    assert stored() <= {deep.request_id, well.request_id}
    for row in CapturedBodies.objects.filter(pk=deep.request_id):
        assert reveal(row.ciphertext).request.text is None


def test_what_cannot_be_written_at_the_end_is_counted(desk: Desk, fail: list[int]) -> None:
    fail[0] = 100
    desk.writer.start()
    desk.put()
    assert (desk.writer.stop(), desk.writer.lost) == (1, 1)

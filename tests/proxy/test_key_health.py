"""The health of keys on its way into the database."""

import asyncio

import pytest
from uuid_utils.compat import uuid7

from proxy import key_health
from proxy.key_health import HealthWriter
from proxy.keyring import KeyHealth
from tests.live import eventually_async

KEY, OTHER = uuid7(), uuid7()


class Database:
    def __init__(self) -> None:
        self.writes: list[list[KeyHealth]] = []
        self.is_away = False
        self.refused = 0

    async def store(self, healths: list[KeyHealth]) -> bool:
        if self.is_away:
            self.refused += 1
        else:
            self.writes.append(healths)
        return not self.is_away


def health(key: object, code: str) -> KeyHealth:
    return KeyHealth(key, code, 1.0, 2.0)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_health, "WRITE_SECONDS", 0.01)


async def test_what_changes_in_a_moment_is_one_write_with_the_newest_of_each_key() -> None:
    database = Database()
    writer = HealthWriter(database.store)
    for code in ("401", "403"):
        writer.note(health(KEY, code))
    writer.note(health(OTHER, "401"))
    await eventually_async(lambda: database.writes)
    assert database.writes == [[health(KEY, "403"), health(OTHER, "401")]]


async def test_what_could_not_be_written_is_told_again_without_another_change() -> None:
    database = Database()
    writer = HealthWriter(database.store)
    database.is_away = True
    writer.note(health(KEY, "401"))
    await eventually_async(lambda: database.refused)
    database.is_away = False
    await eventually_async(lambda: database.writes)
    assert database.writes == [[health(KEY, "401")]]


async def test_while_a_write_hangs_no_other_waits_behind_it_and_the_end_does_not_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(key_health, "STOP_SECONDS", 0.1)
    begun: list[int] = []

    async def hang(healths: list[KeyHealth]) -> bool:
        begun.append(len(healths))
        await asyncio.Event().wait()
        return True

    writer = HealthWriter(hang)
    writer.note(health(KEY, "401"))
    await eventually_async(lambda: begun)
    tasks = len(asyncio.all_tasks())
    for _ in range(5):
        writer.note(health(OTHER, "401"))
        await asyncio.sleep(0.02)

    assert len(asyncio.all_tasks()) == tasks
    await asyncio.wait_for(writer.stop(), 5)
    assert begun == [1]


async def test_a_store_that_breaks_does_not_break_the_end() -> None:
    async def broken(healths: list[KeyHealth]) -> bool:
        raise RuntimeError

    writer = HealthWriter(broken)
    writer.note(health(KEY, "401"))
    await writer.stop()


async def test_the_end_writes_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_health, "WRITE_SECONDS", 60)
    database = Database()
    writer = HealthWriter(database.store)
    writer.note(health(KEY, "401"))
    await writer.stop()
    assert database.writes == [[health(KEY, "401")]]

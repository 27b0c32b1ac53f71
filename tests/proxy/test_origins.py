"""The origins that any token allows are remembered for a moment, and no longer."""

import asyncio

from proxy.origins import LEAST_SECONDS, REMEMBERED_SECONDS, KnownOrigins


class World:
    def __init__(self) -> None:
        self.now = 0.0
        self.looks = 0
        self.listed = frozenset([b"https://a.example"])
        self.origins = KnownOrigins(self.load, lambda: self.now)

    async def load(self) -> frozenset[bytes]:
        self.looks += 1
        await asyncio.sleep(0)
        return self.listed


async def test_one_look_answers_all_who_ask_at_once_and_for_a_moment_after() -> None:
    world = World()
    assert await asyncio.gather(*[world.origins.allow(b"https://a.example") for _ in range(9)]) == [True] * 9
    assert not await world.origins.allow(b"https://b.example")
    world.now += REMEMBERED_SECONDS - 0.1
    await world.origins.allow(b"https://a.example")
    assert world.looks == 1
    world.now += 0.1
    await world.origins.allow(b"https://a.example")
    assert world.looks == 2


async def test_a_change_is_looked_for_but_not_more_often_than_once_a_moment() -> None:
    world = World()
    await world.origins.allow(b"https://b.example")
    world.listed = frozenset([b"https://b.example"])
    world.origins.forget()
    assert not await world.origins.allow(b"https://b.example")
    world.now += LEAST_SECONDS
    assert await world.origins.allow(b"https://b.example")
    assert world.looks == 2


async def test_what_cannot_be_read_stays_as_it_was() -> None:
    answers: list[frozenset[bytes] | None] = [frozenset([b"https://a.test"]), None]
    now = 0.0

    async def load() -> frozenset[bytes] | None:
        return answers.pop(0)

    origins = KnownOrigins(load, lambda: now)
    assert await origins.allow(b"https://a.test")
    now = 100.0
    assert await origins.allow(b"https://a.test")
    assert answers == []

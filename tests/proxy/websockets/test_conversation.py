"""How a conversation ends while one of its sides, or its limits, do not answer."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from uuid_utils.compat import uuid7

from proxy.websockets.client import SocketClient
from proxy.websockets.conversation import Conversation
from proxy.websockets.endings import Ending
from tests.proxy.websockets.test_ledger import TRANSCRIBED, USAGE, World
from tokens.limits.values import Estimate, Lease, Subject


class Call:
    """A conversation between two sides that are queues."""

    def __init__(self, world: World) -> None:
        self.said: asyncio.Queue[Any] = asyncio.Queue()
        self.answers: asyncio.Queue[Any] = asyncio.Queue()
        self.sent: list[Any] = []
        self.passed: list[Any] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self.receive = self.answers.get
        client = SocketClient(self.said.get, self._to_client, can_refuse=True)
        upstream: Any = self
        self.endings: list[Ending] = []
        self.conversation = Conversation(
            uuid7(),
            client,
            upstream,
            world.turns,
            judge_handshake=lambda rules: None,
            before_close=self.endings.append,
            idle_seconds=600,
        )
        self.end = asyncio.create_task(self.conversation.run())

    async def _to_client(self, message: Any) -> None:
        if message["type"] == "websocket.send":
            await self.reads.wait()
        self.sent.append(message)

    async def send(self, data: Any) -> None:
        """To upstream."""
        self.passed.append(data)

    async def close(self, code: int) -> None:
        """Upstream's side."""

    def say(self, kind: str, **members: Any) -> None:
        self.said.put_nowait({"type": "websocket.receive", "text": json.dumps({"type": kind, **members})})

    def hang_up(self) -> None:
        self.said.put_nowait({"type": "websocket.disconnect", "code": 1006})

    def answer(self, kind: str, **members: Any) -> None:
        data = json.dumps({"type": kind, **members}).encode()
        self.answers.put_nowait(SimpleNamespace(type=aiohttp.WSMsgType.TEXT, data=data))


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_client_that_does_not_read_its_last_event_is_cut_all_the_same() -> None:
    world = World(max_requests=1)
    call = Call(world)
    call.answer("response.created", response={"id": "a"})
    call.answer("response.done", response={"id": "a", "usage": USAGE})
    await until(lambda: len(call.sent) == 2)
    call.reads.clear()
    call.answer("response.created", response={"id": "b"})
    await until(lambda: len(world.rows) == 2)
    call.say("input_audio_buffer.append", audio="AAAA")
    async with asyncio.timeout(10):
        await call.end
    (ending,) = call.endings
    assert (ending.code, ending.error_code) == (1008, "request_limit_reached")
    assert call.passed == []


async def test_the_last_event_comes_before_the_cut() -> None:
    world = World(max_requests=1)
    call = Call(world)
    for response_id in ("a", "b"):
        call.answer("response.created", response={"id": response_id})
    await call.end
    assert [message["type"] for message in call.sent] == ["websocket.send"] * 2 + ["websocket.close"]


@pytest.mark.parametrize(
    ("kind", "outcome"), [(TRANSCRIBED, "completed"), ("response.created", "client_closed")]
)
async def test_work_that_was_heard_of_is_booked_though_the_client_hangs_up_meanwhile(
    kind: str, outcome: str
) -> None:
    world = World(budgets=(10_000_000, None, None, None))
    store, acquire, goes_on = world.store, world.store.acquire, asyncio.Event()
    waiting = 0

    async def acquire_slowly(request_id: Any, subjects: tuple[Subject, ...], estimate: Estimate) -> Lease:
        nonlocal waiting
        waiting += 1
        await goes_on.wait()
        return await acquire(request_id, subjects, estimate)

    store.acquire = acquire_slowly  # type: ignore[method-assign]
    call = Call(world)
    call.answer(kind, usage=USAGE)
    await until(lambda: waiting)
    call.hang_up()
    await until(call.said.empty)
    for _ in range(10):
        await asyncio.sleep(0)  # until the end is known
    goes_on.set()
    await call.end
    (row,) = world.rows
    assert row.outcome == outcome
    standing = await world.standing()
    assert (standing.active, standing.spent[0]) == (0, row.cost_microusd)

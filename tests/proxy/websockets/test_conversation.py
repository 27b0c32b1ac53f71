"""How a conversation ends while one of its sides, or its limits, do not answer."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from uuid_utils.compat import uuid7

from llm_proxy_site.server.service import TELL_SECONDS
from proxy.websockets.client import SocketClient
from proxy.websockets.conversation import Conversation
from proxy.websockets.endings import Ending
from tests.proxy.websockets.test_ledger import TRANSCRIBED, USAGE, World
from tokens.limits.values import Charge, Estimate, Lease, Subject


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


async def test_a_running_turn_ends_at_once_where_the_server_waits_no_longer() -> None:
    world = World()
    call = await _in_a_turn(world)
    call.conversation.interrupt()
    async with asyncio.timeout(TELL_SECONDS / 2):
        await call.end
    assert [ending.code for ending in call.endings] == [1012]
    assert [row.outcome for row in world.rows] == ["interrupted"]


async def test_what_a_turn_has_cost_is_booked_though_the_server_waits_no_longer_for_its_limits() -> None:
    """Told first, and cancelled while they take their time."""
    world = World(budgets=(10_000_000, None, None, None))
    settle, begun = world.store.settle, asyncio.Event()

    async def settle_slowly(lease: Lease, charge: Charge) -> None:
        if not begun.is_set():
            begun.set()
            await asyncio.Event().wait()
        await settle(lease, charge)

    world.store.settle = settle_slowly  # type: ignore[method-assign]
    call = await _in_a_turn(world)
    call.conversation.interrupt()
    await begun.wait()
    await _cancelled(call)
    (row,) = world.rows
    assert (row.outcome, (await world.standing()).spent[0]) == ("interrupted", row.cost_microusd)


async def test_turns_are_booked_though_the_server_waits_no_longer_for_what_was_heard_last() -> None:
    world = World(budgets=(10_000_000, None, None, None))
    call = await _in_a_turn(world)
    asked = asyncio.Event()

    async def never(request_id: Any, subjects: tuple[Subject, ...], estimate: Estimate) -> Lease:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    world.store.acquire = never  # type: ignore[method-assign]
    call.answer(TRANSCRIBED, usage=USAGE)
    await asked.wait()
    call.conversation.interrupt()
    await until(lambda: not call.answers.qsize())
    await _cancelled(call)
    assert [row.outcome for row in world.rows] == ["interrupted"]
    assert (await world.standing()).active == 0


async def _in_a_turn(world: World) -> Call:
    call = Call(world)
    call.say("response.create")
    await until(lambda: call.passed)
    call.answer("response.created", response={"id": "a"})
    await until(lambda: call.sent)
    return call


async def _cancelled(call: Call) -> None:
    for _ in range(10):
        await asyncio.sleep(0)  # until it waits
    call.end.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call.end


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

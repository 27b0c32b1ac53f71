"""The server's side of a WebSocket, as the protocol below and the application above see it."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from llm_proxy_site.server.daphne.websocket import ClientSocket
from llm_proxy_site.server.gate import WriteGate
from llm_proxy_site.server.socket_messages import MAX_BUFFERED_BYTES, MESSAGE_BYTES, SocketMessages


class Transport:
    is_reading = True

    def pause(self) -> None:
        self.is_reading = False

    def resume(self) -> None:
        self.is_reading = True


async def test_reading_stops_while_messages_wait_and_goes_on_when_they_are_taken() -> None:
    transport = Transport()
    messages = SocketMessages(transport.pause, transport.resume)
    messages.feed({"n": 1}, MAX_BUFFERED_BYTES - MESSAGE_BYTES)
    assert transport.is_reading
    messages.feed({"n": 2}, 1)
    assert not transport.is_reading
    assert await messages.receive() == {"n": 1}
    assert transport.is_reading


async def test_messages_without_payload_are_not_kept_without_bound() -> None:
    transport = Transport()
    messages = SocketMessages(transport.pause, transport.resume)
    for _ in range(MAX_BUFFERED_BYTES // MESSAGE_BYTES + 1):
        messages.feed({"text": ""}, 0)
    assert not transport.is_reading


async def test_nothing_is_read_before_the_handshake_is_answered() -> None:
    transport = Transport()
    messages = SocketMessages(transport.pause, transport.resume)
    messages.put_nowait({"type": "websocket.connect"})
    messages.hold()
    await messages.receive()
    assert not transport.is_reading
    messages.release()
    assert transport.is_reading


async def test_who_waits_for_a_message_gets_the_next() -> None:
    messages = SocketMessages(Transport().pause, Transport().resume)
    waiting = asyncio.ensure_future(messages.receive())
    await asyncio.sleep(0)
    messages.feed({"n": 1}, 1)
    assert await waiting == {"n": 1}


async def test_after_the_end_only_the_end_is_told() -> None:
    transport = Transport()
    messages = SocketMessages(transport.pause, transport.resume)
    messages.feed({"n": 1}, MAX_BUFFERED_BYTES + 1)
    messages.discard()
    messages.feed({"n": 2}, MAX_BUFFERED_BYTES + 1)
    messages.put_nowait({"type": "websocket.disconnect"})
    assert transport.is_reading
    assert await messages.receive() == {"type": "websocket.disconnect"}


@pytest.mark.parametrize(
    ("silent_seconds", "is_asked", "waits", "expected"),
    [
        (1, False, False, []),
        (21, False, False, ["ask"]),
        (21, True, False, []),  # it has been asked already, and has time to answer
        (21, False, True, []),  # it cannot answer, for we do not read
        (21, True, True, ["forget"]),
    ],
)
def test_a_silent_client_is_asked_for_a_sign_of_life_unless_we_keep_it_waiting(
    silent_seconds: float, is_asked: bool, waits: bool, expected: list[str]
) -> None:
    done: list[str] = []
    gate = WriteGate()
    socket: Any = SimpleNamespace(
        STATE_OPEN=3,
        state=3,
        messages=SimpleNamespace(is_paused=False),
        gate=gate,
        server=SimpleNamespace(ping_interval=20),
        last_ping=time.time() - silent_seconds,
        autoPingTimeoutCall=object() if is_asked else None,
        _sendAutoPing=lambda: done.append("ask"),
        _cancelAutoPingTimeoutCall=lambda: done.append("forget"),
    )
    if waits:
        gate.close()
    ClientSocket.check_timeouts(socket)
    assert done == expected

"""The faster server's side of a WebSocket, as the transport below sees it."""

import asyncio
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from llm_proxy_site.server.choice import UVICORN, missing_modules

if missing := missing_modules(UVICORN):
    pytest.skip(f"not installed: {', '.join(missing)}", allow_module_level=True)

from llm_proxy_site.server.client_limits import DEFAULT_LIMITS
from llm_proxy_site.server.connections import Connections
from llm_proxy_site.server.gate import WriteGate
from llm_proxy_site.server.socket_messages import PING_SECONDS, PONG_SECONDS
from llm_proxy_site.server.unsent import Unsent
from llm_proxy_site.server.uvicorn.websocket import ClientSocket
from tests.llm_proxy_site.server.test_handshake import scope_of

PING = b"\x89\x80\x00\x00\x00\x00"


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.reads = True
        self.is_aborted = False
        self.written = b""

    def write(self, data: Any) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def is_closing(self) -> bool:
        return self.is_aborted

    def abort(self) -> None:
        self.is_aborted = True


@pytest.fixture
async def opened() -> tuple[ClientSocket, Transport]:
    """A WebSocket that was accepted."""

    async def nothing() -> None: ...

    service: Any = SimpleNamespace(
        clients=Connections(DEFAULT_LIMITS),
        duties=SimpleNamespace(max_socket_message_bytes=1000),
        loop=asyncio.get_running_loop(),
        run_socket=lambda *arguments: nothing(),
        start=asyncio.ensure_future,
    )
    transport = Transport()
    with socket.socket() as handle:
        client = ClientSocket(service, transport, "192.0.2.1", Unsent(handle), WriteGate())
    client.open(scope_of())
    assert not transport.reads
    await client.send({"type": "websocket.accept"})
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in transport.written
    assert transport.reads
    return client, transport


async def test_who_pings_and_does_not_read_is_not_answered_without_end(opened: Any) -> None:
    client, transport = opened
    client.data_received(PING)
    assert transport.reads

    client.pause_writing()
    client.data_received(PING)
    assert not transport.reads

    client.resume_writing()
    assert transport.reads


async def test_a_silent_client_is_asked_for_a_sign_of_life_and_then_dropped(opened: Any) -> None:
    client, transport = opened
    now = client._heard_at
    transport.written = b""
    client.end_if_late(now + PING_SECONDS, DEFAULT_LIMITS)
    assert transport.written == b""
    client.end_if_late(now + PING_SECONDS + 1, DEFAULT_LIMITS)
    assert transport.written == b"\x89\x00"

    client.data_received(b"\x8a\x80\x00\x00\x00\x00")
    client.end_if_late(client._heard_at + PING_SECONDS + 1, DEFAULT_LIMITS)
    client.end_if_late(client._heard_at + PING_SECONDS + PONG_SECONDS, DEFAULT_LIMITS)
    assert not transport.is_aborted
    client.end_if_late(client._heard_at + PING_SECONDS + PONG_SECONDS + 2, DEFAULT_LIMITS)
    assert transport.is_aborted


async def test_a_client_that_we_keep_waiting_is_not_asked(opened: Any) -> None:
    client, transport = opened
    transport.written = b""
    client.pause_writing()
    client.end_if_late(client._heard_at + 1000, DEFAULT_LIMITS)
    assert transport.written == b""

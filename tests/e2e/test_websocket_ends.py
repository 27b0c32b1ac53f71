"""How WebSockets end: by either side, by us, and by what has gone wrong."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from projects import lifecycle as project_lifecycle
from projects.models import DeathPolicy, Project
from tests.factories import ProjectFactory
from tests.live import LiveProxy
from tests.sockets import ask, new_token, rows, settled, talk, talking, upstream_socket
from tokens import lifecycle
from tokens.models import AccessToken

WITHIN_SECONDS = 2.0
BAD_CODE_CLOSES_WITH = 1002 if os.environ["SERVER"] == "uvicorn" else 1006
"""After a close code that must not be sent: uvicorn's frames say what is wrong, Daphne's nothing."""
SLOWLY = {"chunk_delay_ms": 100, "chunks": 600}


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 1013, 3000, 4321])
@talking
async def test_upstreams_close_code_and_reason_are_relayed(live: LiveProxy, code: int) -> None:
    token, plain = await new_token()
    async with talk(live, plain, close_code=code, close_after=6) as client:
        await ask(client, "hello")
        assert await client.end() == (code, "as the script says")
    assert [row.outcome for row in await rows(token, 2)] == ["completed", "upstream_cut"]


@pytest.mark.parametrize("code", [1000, 1001, 3001, 4000])
@talking
async def test_the_clients_close_code_reaches_upstream(live: LiveProxy, code: int) -> None:
    token, plain = await new_token()
    async with talk(live, plain, headers={"x-marker": str(token.id)}) as client:
        await client.hear()
        await client.socket.close(code=code)
    assert (await upstream_socket(live, str(token.id)))["socket"]["close_code"] == code
    assert (await rows(token, 1))[0].outcome == "completed"


@talking
async def test_a_client_that_hangs_up_frees_upstream_and_pays_for_its_turn(live: LiveProxy) -> None:
    token, plain = await new_token()
    async with talk(live, plain, headers={"x-marker": str(token.id)}, **SLOWLY) as client:
        await ask(client, "hello")
        await client.hear_until("response.output_audio.delta")
        client.break_off()
    assert (await upstream_socket(live, str(token.id)))["state"] == "closed_by_client"
    connection, turn = await rows(token, 2)
    assert (connection.outcome, turn.outcome) == ("client_closed", "client_closed")
    assert turn.usage_source == "estimated"
    assert turn.cost_microusd


@talking
async def test_an_upstream_that_breaks_off_is_no_clean_end(live: LiveProxy) -> None:
    token, plain = await new_token()
    async with talk(live, plain, cut_after=8) as client:
        await ask(client, "hello")
        assert await client.end() == (1011, "The upstream API broke off.")
    connection, turn = await rows(token, 2)
    assert (connection.outcome, connection.error_code) == ("upstream_cut", "upstream_unreachable")
    assert (turn.outcome, turn.usage_source) == ("upstream_cut", "estimated")


@sync_to_async
def by_revocation(token: AccessToken) -> None:
    lifecycle.revoke(token, actor="user:test", now=timezone.now())


@sync_to_async
def by_its_expiry(token: AccessToken) -> None:
    AccessToken.objects.filter(pk=token.pk).update(expires_at=timezone.now(), updated_at=timezone.now())


@sync_to_async
def by_its_project(token: AccessToken) -> None:
    project = Project.objects.get(pk=token.project_id)
    project_lifecycle.set_project_active(project, False, actor="user:test", now=timezone.now())


@sync_to_async
def by_its_rotation(token: AccessToken) -> None:
    lifecycle.rotate(token, grace=timedelta(0), actor="user:test", now=timezone.now())


DEATHS = [
    (by_revocation, "invalid_api_key"),
    (by_its_expiry, "token_expired"),
    (by_its_project, "project_inactive"),
    (by_its_rotation, "invalid_api_key"),
]


@pytest.mark.parametrize(("death", "code"), DEATHS)
@pytest.mark.parametrize("is_busy", [True, False])
@talking
async def test_a_socket_is_cut_when_its_token_dies(
    live: LiveProxy, death: Callable[[AccessToken], Any], code: str, is_busy: bool
) -> None:
    token, plain = await new_token()
    async with talk(live, plain, headers={"x-marker": str(token.id)}, **SLOWLY) as client:
        await client.hear()
        if is_busy:
            await ask(client, "hello")
            await client.hear_until("response.output_audio.delta")
        await death(token)
        died_at = time.monotonic()
        close_code, reason = await client.end()

    assert time.monotonic() - died_at < WITHIN_SECONDS
    assert close_code == 1008
    assert reason.startswith(f"{code}: ")
    await upstream_socket(live, str(token.id))
    found = await rows(token, 2 if is_busy else 1)
    assert {row.outcome for row in found} == {"cut"}


@talking
async def test_a_client_that_does_not_read_is_cut_too(live: LiveProxy) -> None:
    token, plain = await new_token()
    marker = {"x-marker": str(token.id)}
    async with talk(live, plain, headers=marker, size_bytes=1_000_000, chunks=600) as client:
        await client.say("response.create")
        await settled(lambda: live.upstream_requests(str(token.id))[0]["socket"]["sent_bytes"])
        await by_revocation(token)
        died_at = time.monotonic()
        await upstream_socket(live, str(token.id))
        assert time.monotonic() - died_at < 2 * WITHIN_SECONDS
    assert {row.outcome for row in await rows(token, 2)} == {"cut"}


@talking
async def test_a_turn_may_end_where_the_project_says_finish(live: LiveProxy) -> None:
    project = await sync_to_async(ProjectFactory.create)(death_policy=DeathPolicy.FINISH)
    token, plain = await new_token(project=project)
    async with talk(live, plain, chunk_delay_ms=100, chunks=15) as client:
        await ask(client, "hello")
        await client.hear_until("response.output_audio.delta")
        await by_revocation(token)
        assert (await client.hear_until("response.done"))["response"]["status"] == "completed"
        assert (await client.end())[0] == 1008
    connection, turn = await rows(token, 2)
    assert (connection.outcome, turn.outcome) == ("cut", "completed")


@talking
async def test_where_the_project_says_finish_a_rotated_token_ends_behind_its_turn(live: LiveProxy) -> None:
    project = await sync_to_async(ProjectFactory.create)(death_policy=DeathPolicy.FINISH)
    token, plain = await new_token(project=project)
    async with talk(live, plain, chunk_delay_ms=100, chunks=15) as client:
        await ask(client, "hello")
        await client.hear_until("response.output_audio.delta")
        await by_its_rotation(token)
        assert (await client.hear_until("response.done"))["response"]["status"] == "completed"
        assert (await client.end())[0] == 1008


@pytest.mark.parametrize("private_live", [{"WEBSOCKET_IDLE_SECONDS": "1"}], indirect=True)
@talking
async def test_an_idle_socket_is_closed(private_live: LiveProxy) -> None:
    token, plain = await new_token()
    async with talk(private_live, plain) as client:
        assert await client.end() == (1001, "No message for 1 s.")
    assert (await rows(token, 1))[0].error_code == "idle"


@talking
async def test_a_server_that_stops_tells_by_1012(private_live: LiveProxy) -> None:
    token, plain = await new_token()
    _, busy_plain = await new_token()
    async with (
        talk(private_live, plain) as idle,
        talk(private_live, busy_plain, chunk_delay_ms=50, chunks=10) as busy,
    ):
        await idle.hear()
        await ask(busy, "hello")
        await busy.hear_until("response.output_audio.delta")
        private_live.process.send_signal(signal.SIGTERM)
        assert (await idle.end())[0] == 1012
        await busy.hear_until("response.done")
        assert (await busy.end())[0] == 1012
    assert await asyncio.to_thread(private_live.process.wait, 10) == 0
    assert (await rows(token, 1))[0].outcome == "interrupted"


@pytest.mark.parametrize("private_live", [{"SHUTDOWN_GRACE_SECONDS": "1"}], indirect=True)
@talking
async def test_at_the_end_of_the_grace_running_turns_are_told_too(private_live: LiveProxy) -> None:
    token, plain = await new_token()
    async with talk(private_live, plain, **SLOWLY) as client:
        await ask(client, "hello")
        await client.hear_until("response.output_audio.delta")
        private_live.process.send_signal(signal.SIGTERM)
        assert (await client.end())[0] == 1012
    assert await asyncio.to_thread(private_live.process.wait, 10) == 0
    assert [row.outcome for row in await rows(token, 2)] == ["interrupted", "interrupted"]


@pytest.mark.parametrize(
    ("garbage", "code"),
    [
        (b"\x81\x05hello", 1002),  # not masked
        (b"\xf1\x80\x00\x00\x00\x00", 1002),  # reserved bits
        (b"\x83\x80\x00\x00\x00\x00", 1002),  # an opcode that does not exist
        (b"\x81\x82\x00\x00\x00\x00\xff\xff", 1007),  # text that is not UTF-8
        (b"\x88\x82\x00\x00\x00\x00\x03\xed", BAD_CODE_CLOSES_WITH),
    ],
)
@talking
async def test_garbage_ends_the_connection_and_no_other(live: LiveProxy, garbage: bytes, code: int) -> None:
    token, plain = await new_token()
    async with talk(live, plain, headers={"x-marker": str(token.id)}) as client:
        await client.hear()
        client.write_raw(garbage)
        assert (await client.end())[0] == code
    assert (await upstream_socket(live, str(token.id)))["socket"]["received"] == 0


@talking
async def test_pings_are_answered_on_both_sides(live: LiveProxy) -> None:
    token, plain = await new_token()
    async with talk(live, plain, ping_ms=600, headers={"x-marker": str(token.id)}) as client:
        await client.hear()
        await client.socket.ping(b"hello")
        with pytest.raises(asyncio.TimeoutError):  # no message comes, and upstream has not hung up
            await client.socket.receive(timeout=1.5)
        assert await asyncio.to_thread(is_running, live, str(token.id))


def is_running(live: LiveProxy, marker: str) -> bool:
    return bool(live.upstream_requests(marker)[0]["state"] == "running")


@talking
async def test_an_upstream_that_cannot_be_reached_is_a_502(live: LiveProxy) -> None:
    project = await sync_to_async(ProjectFactory.create)(base_url="http://127.0.0.1:9/v1")
    token, plain = await new_token(project=project)
    with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
        async with talk(live, plain):
            pass
    assert raised.value.status == 502
    row = (await rows(token, 1))[0]
    assert (row.outcome, row.error_code) == ("upstream_failed", "upstream_unreachable")

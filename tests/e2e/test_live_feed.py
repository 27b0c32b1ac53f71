"""The feed of live requests, as the page of the admin gets it: who opens it, what it says, its end."""

import asyncio
import json
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client

from llm_proxy_site.people.models import AuthenticatorApp
from projects.access import ADMIN, VIEWER
from projects.models import Membership, Project
from tests.factories import ProjectFactory, UserFactory, issue_token
from tests.live import LiveProxy, eventually, serving
from tests.sockets import Talk, talking
from usage.models import UsageRecord

PATH = "/admin/live/ws"
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "a secret question"}]}
WITHIN_SECONDS = 12.0
"""Twice what it takes at the worst, and some for a busy machine."""


@sync_to_async
def signed_in(**person: Any) -> tuple[User, dict[str, str]]:
    """A person, and the cookie of their session."""
    user = UserFactory.create(**person)
    client = Client()
    client.force_login(user)
    return user, {"cookie": f"sessionid={client.cookies['sessionid'].value}"}


@asynccontextmanager
async def watching(
    live: LiveProxy, headers: dict[str, str], connector: aiohttp.BaseConnector | None = None, **wish: Any
) -> AsyncIterator[Talk]:
    """The feed, once it has taken this wish."""
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.ws_connect(live.url + PATH, headers={"origin": live.url} | headers) as opened,
    ):
        feed = Talk(opened)
        await feed.socket.send_str(json.dumps({"filter_number": 1} | wish))
        while (await feed.hear())["filter_number"] != 1:
            pass
        yield feed
        feed.forget_unsent()


async def status_of(live: LiveProxy, headers: dict[str, str], path: str = PATH) -> int:
    """What the handshake is answered with; 101: it is open."""
    async with aiohttp.ClientSession() as session:
        try:
            async with session.ws_connect(live.url + path, headers=headers):
                return 101
        except aiohttp.WSServerHandshakeError as refusal:
            return refusal.status


def ask(live: LiveProxy, plain: str, path: str = "/chat/completions", **body: Any) -> None:
    httpx.post(live.base_url + path, json=CHAT | body, headers={"authorization": f"Bearer {plain}"})


async def hear_rows(feed: Talk, count: int = 1) -> list[Any]:
    rows: list[Any] = []
    while len(rows) < count:
        rows += (await feed.hear())["rows"]
    return rows


@sync_to_async
def new_token(**fields: Any) -> tuple[Any, str]:
    return issue_token(**fields)


@talking
async def test_who_watches_sees_a_request_when_it_has_ended(live: LiveProxy) -> None:
    _, cookie = await signed_in(superuser=True)
    token, plain = await new_token(name="nightly")
    async with watching(live, cookie, filter={"token": str(token.id)}) as feed:
        await asyncio.to_thread(ask, live, plain)
        (row,) = await hear_rows(feed)

    assert (row["project"], row["token"], row["display"]) == (token.project.name, "nightly", token.display)
    assert (row["method"], row["endpoint"], row["model"]) == (
        "POST",
        "/chat/completions",
        "gpt-4o-2024-08-06",
    )
    assert (row["status"], row["outcome"]) == (200, "completed")
    assert row["duration_seconds"] >= row["first_byte_seconds"] > 0
    assert row["input_tokens"] > 0
    assert float(row["usd"]) > 0
    assert "secret" not in json.dumps(row)
    assert plain[8:-4] not in json.dumps(row)

    def in_ledger() -> bool:
        return UsageRecord.objects.filter(id=row["id"]).exists()

    while not await sync_to_async(in_ledger)():
        await asyncio.sleep(0.01)


@talking
async def test_who_watches_sees_what_runs_until_it_has_ended(live: LiveProxy) -> None:
    _, cookie = await signed_in(superuser=True)
    token, plain = await new_token(name="nightly")
    headers = {"authorization": f"Bearer {plain}", "x-fake-chunk-delay-ms": "100", "x-fake-chunks": "600"}
    body = CHAT | {"stream": True}
    async with watching(live, cookie, filter={"token": str(token.id)}) as feed:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{live.base_url}/chat/completions", json=body, headers=headers),
        ):
            (row,) = (await hear_running(feed, 1))["rows"]
        await hear_running(feed, 0)
    assert (row["project"], row["token"], row["model"]) == (token.project.name, "nightly", "gpt-4o")
    assert (row["method"], row["endpoint"]) == ("POST", "/chat/completions")
    assert abs(row["started_at"] - time.time()) < WITHIN_SECONDS


async def hear_running(feed: Talk, count: int) -> Any:
    async with asyncio.timeout(WITHIN_SECONDS):
        while True:
            running = (await feed.hear())["running"]
            if running is not None and running["count"] == count:
                return running


@talking
async def test_only_staff_who_may_view_usage_records_open_it_and_only_from_our_page(live: LiveProxy) -> None:
    own = {"origin": live.url}
    _, viewer = await signed_in(role=VIEWER)
    assert await status_of(live, own | viewer) == 101

    _, nobody = await signed_in()
    _, of_staff_only = await signed_in(is_staff=True)
    without_code, enrolled = await signed_in(superuser=True)
    await sync_to_async(AuthenticatorApp.objects.create)(user=without_code, ciphertext="unread")
    for who in ({}, {"cookie": "sessionid=nonsense"}, nobody, of_staff_only, enrolled):
        assert await status_of(live, own | who) == 403, who

    host, port = live.url.rsplit(":", 1)
    for origin in (
        "https://evil.example",
        f"{host}:{int(port) + 1}",  # another program on this machine
        host,
        live.url.replace("http:", "https:"),
        "null",
    ):
        assert await status_of(live, {"origin": origin} | viewer) == 403, origin
    assert await status_of(live, viewer) == 403


@talking
async def test_the_control_plane_has_no_other_websocket(live: LiveProxy) -> None:
    async with aiohttp.ClientSession() as session:
        for path in ("/admin/live/", "/admin/live/ws/", "/admin/", "/"):
            with pytest.raises(aiohttp.WSServerHandshakeError, match="404"):
                await session.ws_connect(live.url + path, headers={"origin": live.url})


@talking
async def test_members_see_their_projects_only(live: LiveProxy) -> None:
    project = await sync_to_async(ProjectFactory.create)()
    _, member = await signed_in(role=VIEWER, projects=[project])
    _, admin = await signed_in(role=ADMIN)
    (_, mine), (_, others) = await new_token(project=project), await new_token()
    async with watching(live, member) as feed, watching(live, admin, filter={"model": "seen-"}) as every:
        await asyncio.to_thread(ask, live, others, model="seen-by-admin")
        await asyncio.to_thread(ask, live, mine, model="seen-by-both")
        assert [row["model"] for row in await hear_rows(every, 2)] == ["seen-by-admin", "seen-by-both"]
        assert [row["model"] for row in await hear_rows(feed)] == ["seen-by-both"]


@sync_to_async
def signs_out(user: User) -> None:
    Session.objects.all().delete()


@sync_to_async
def is_switched_off(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


@sync_to_async
def is_no_longer_staff(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_staff=False)


@sync_to_async
def loses_the_role(user: User) -> None:
    user.groups.clear()


@sync_to_async
def changes_the_password(user: User) -> None:
    user.set_password("another one")
    user.save()


@pytest.mark.parametrize(
    "end", [signs_out, is_switched_off, is_no_longer_staff, loses_the_role, changes_the_password]
)
@talking
async def test_the_feed_ends_with_the_session(live: LiveProxy, end: Callable[[User], Any]) -> None:
    user, cookie = await signed_in(role=VIEWER)
    async with watching(live, cookie) as feed:
        await end(user)
        ended_at = time.monotonic()
        assert (await feed.end())[0] == 1008
    assert time.monotonic() - ended_at < WITHIN_SECONDS


@talking
async def test_a_project_that_is_lost_is_no_longer_seen(live: LiveProxy) -> None:
    lost, kept = await sync_to_async(ProjectFactory.create_batch)(2)
    user, cookie = await signed_in(role=VIEWER, projects=[lost, kept])
    (_, plain_lost), (_, plain_kept) = await new_token(project=lost), await new_token(project=kept)

    async def seen() -> list[str]:
        """Of which projects rows arrive now."""
        await asyncio.to_thread(ask, live, plain_lost)
        await asyncio.to_thread(ask, live, plain_kept)
        names: list[str] = []
        while kept.name not in names:
            names += [row["project"] for row in await hear_rows(feed)]
        return names

    async with watching(live, cookie) as feed:
        assert await seen() == [lost.name, kept.name]
        await sync_to_async(leave)(lost, user)
        async with asyncio.timeout(WITHIN_SECONDS):
            while await seen() != [kept.name]:
                pass


def leave(project: Project, user: User) -> None:
    Membership.objects.filter(project=project, user=user).delete()


@talking
async def test_a_paused_feed_says_nothing_and_then_what_has_happened(live: LiveProxy) -> None:
    _, cookie = await signed_in(superuser=True)
    token, plain = await new_token()
    only = {"token": str(token.id)}
    async with watching(live, cookie, filter=only, is_paused=True) as feed:
        await asyncio.to_thread(ask, live, plain, model="first")
        await asyncio.to_thread(ask, live, plain, model="second")
        with pytest.raises(TimeoutError):
            await feed.socket.receive(timeout=0.5)
        await feed.socket.send_str(json.dumps({"filter": only | {"model": "sec"}, "filter_number": 2}))
        message = await feed.hear()
    assert [row["model"] for row in message["rows"]] == ["second"]
    assert message["filter_number"] == 2


@pytest.mark.parametrize("wish", ["nonsense", "[]", json.dumps({"filter": {"path": "x" * 5000}})])
@talking
async def test_a_wish_that_is_none_ends_the_feed(live: LiveProxy, wish: str) -> None:
    _, cookie = await signed_in(superuser=True)
    async with watching(live, cookie) as feed:
        await feed.socket.send_str(wish)
        assert (await feed.end())[0] == 1007


@talking
async def test_a_page_that_does_not_read_misses_rows_and_slows_nobody(live: LiveProxy) -> None:
    """Long names and paths, a small buffer: a few hundred requests fill all that lies between."""
    _, cookie = await signed_in(superuser=True)
    project = await sync_to_async(ProjectFactory.create)(name="𝄞" * 100)
    _, plain = await new_token(project=project, name="𝄞" * 100)
    async with watching(
        live, cookie, small_connector(), filter={"project": str(project.id)}, is_paused=False
    ) as feed:
        transport = feed._transport
        transport.pause_reading()
        count = 900
        slowest = await asyncio.to_thread(ask_many, live, plain, count)
        transport.resume_reading()
        seen = missed = 0
        while seen + missed < count:
            message = await feed.hear()
            seen, missed = seen + len(message["rows"]), missed + message["missed"]
    assert seen + missed == count
    assert missed > 0
    assert seen >= 200
    assert slowest < 5


def small_connector() -> aiohttp.TCPConnector:
    def small(address: Any) -> socket.socket:
        made = socket.socket(*address[:3])
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        return made

    return aiohttp.TCPConnector(socket_factory=small)


def ask_many(live: LiveProxy, plain: str, count: int) -> float:
    """Requests that are refused; how long the slowest took, in seconds."""
    slowest = 0.0
    with httpx.Client(headers={"authorization": f"Bearer {plain}"}) as client:
        for _ in range(count):
            began = time.monotonic()
            assert client.get(f"{live.base_url}/{'nowhere' * 40}").status_code == 404
            slowest = max(slowest, time.monotonic() - began)
    return slowest


@talking
async def test_a_server_that_stops_tells_by_1012(private_live: LiveProxy) -> None:
    _, cookie = await signed_in(superuser=True)
    async with watching(private_live, cookie) as feed:
        private_live.process.send_signal(signal.SIGTERM)
        assert (await feed.end())[0] == 1012
    assert await asyncio.to_thread(private_live.process.wait, 10) == 0


@pytest.fixture
def pair(redis_url: str, django_db_setup: None, transactional_db: None, tmp_path: Path) -> Any:
    """One server of two workers."""
    with serving(tmp_path, WORKERS="2", REDIS_URL=redis_url) as live:
        yield live


@pytest.mark.redis
@talking
async def test_requests_of_all_workers_are_seen_until_a_worker_makes_room_for_another(
    pair: LiveProxy,
) -> None:
    _, cookie = await signed_in(superuser=True)
    token, plain = await new_token()
    async with watching(pair, cookie, filter={"token": str(token.id)}) as feed:
        seen: set[str] = set()
        while len(seen) < 2:
            await asyncio.to_thread(ask, pair, plain)  # each on a connection of its own
            with suppress(TimeoutError):  # its worker may not have heard yet that somebody watches
                async with asyncio.timeout(3):
                    seen |= {worker_of(pair, row["id"]) for row in await hear_rows(feed)}
        pair.process.send_signal(signal.SIGHUP)
        last = await feed.socket.receive(timeout=60)
    assert (last.type, last.data) == (aiohttp.WSMsgType.CLOSE, 1012)


def worker_of(live: LiveProxy, request_id: str) -> str:
    """Which worker's log has the request: a moment later than those who watch."""

    def workers() -> list[str]:
        return [
            str(line["worker"])
            for line in map(json.loads, live.log().splitlines())
            if line["event"] == "request" and line["id"] == request_id
        ]

    (worker,) = eventually(workers)
    return worker

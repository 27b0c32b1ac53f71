"""SIGHUP to several workers: each is replaced and no client notices; or none, where new ones do not start."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import httpx
import pytest
from asgiref.sync import sync_to_async
from openai import AsyncOpenAI

from tests.e2e.test_workers import get_models, log_lines, workers_of
from tests.factories import issue_token
from tests.live import LiveProxy, eventually, serving

pytestmark = pytest.mark.redis

WORDS = 12
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}
SHIPPED = Path("proxy/providers.yaml").read_text()
PATIENCE_SECONDS = 120
"""Four processes start, perhaps on a busy machine."""
RESTARTED = "the workers are restarted"
Act = Callable[[], Awaitable[None]]


@pytest.fixture
def pair(
    redis_url: str, django_db_setup: None, transactional_db: None, tmp_path: Path
) -> Iterator[LiveProxy]:
    """One server of two workers, with a file of providers to be edited."""
    (tmp_path / "providers.yaml").write_text(SHIPPED)
    environment = {"PROVIDERS_FILE": str(tmp_path / "providers.yaml"), "REDIS_URL": redis_url}
    with serving(tmp_path, WORKERS="2", **environment) as live:
        yield live


async def test_no_client_notices_a_rolling_restart(pair: LiveProxy) -> None:
    _, plain = await sync_to_async(issue_token)()
    before = workers_of(pair)
    async with under_load(pair, plain) as done:
        pair.process.send_signal(signal.SIGHUP)
        await seen(lambda: said(pair, RESTARTED) == 1)
        then = dict(done)
        await seen(lambda: all(done[name] > then[name] + 1 for name in done))
    await seen(lambda: said(pair, "old worker has ended") == 2)

    assert not set(before) & set(workers_of(pair))
    ended = [line["exit_code"] for line in log_lines(pair) if line["event"] == "old worker has ended"]
    assert ended == [0, 0]


async def seen(condition: Callable[[], bool]) -> None:
    await sync_to_async(eventually)(condition, within_seconds=PATIENCE_SECONDS)


@asynccontextmanager
async def under_load(live: LiveProxy, plain: str) -> AsyncIterator[dict[str, int]]:
    """Clients of all kinds, each one act after another on connections that it keeps. Raises what the first of
    them sees that is no success.
    """
    done: dict[str, int] = {}
    stopping = asyncio.Event()

    async def repeat(name: str, act: Act, pause: float) -> None:
        done[name] = 0
        while not stopping.is_set():
            await act()
            done[name] += 1
            await asyncio.sleep(pause)

    headers = {"authorization": f"Bearer {plain}"}
    async with (
        httpx.AsyncClient(base_url=live.base_url, headers=headers, timeout=60) as steady,
        httpx.AsyncClient(base_url=live.base_url, headers=headers, timeout=60) as seldom,
        AsyncOpenAI(base_url=live.base_url, api_key=plain, max_retries=0) as sdk,
        aiohttp.ClientSession(headers=headers) as session,
        asyncio.TaskGroup() as clients,
    ):
        acts: dict[str, tuple[Act, float]] = {
            "httpx": (lambda: post(steady), 0.02),
            "httpx, now and then": (lambda: post(seldom), 1.5),
            "httpx, a new connection each time": (lambda: post_anew(live, headers), 0.3),
            "openai": (lambda: complete(sdk), 0.02),
            "openai, streams": (lambda: stream(sdk), 0.0),
            "aiohttp": (lambda: post_by(session, live), 0.02),
        }
        for name, (act, pause) in acts.items():
            clients.create_task(repeat(name, act, pause))
        yield done
        stopping.set()


async def post(client: httpx.AsyncClient) -> None:
    answer = await client.post("/chat/completions", json=CHAT)
    assert answer.json()["usage"]


async def post_anew(live: LiveProxy, headers: dict[str, str]) -> None:
    async with httpx.AsyncClient(base_url=live.base_url, headers=headers, timeout=60) as client:
        await post(client)


async def post_by(session: aiohttp.ClientSession, live: LiveProxy) -> None:
    async with session.post(f"{live.base_url}/chat/completions", json=CHAT) as answer:
        assert (await answer.json())["usage"]


async def complete(sdk: AsyncOpenAI) -> None:
    assert (await sdk.chat.completions.create(**CHAT)).usage


async def stream(sdk: AsyncOpenAI) -> None:
    slowly = {"x-fake-chunks": f"{WORDS}", "x-fake-chunk-delay-ms": "100"}
    chunks = [
        chunk async for chunk in await sdk.chat.completions.create(**CHAT, stream=True, extra_headers=slowly)
    ]
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert sum(bool(chunk.choices[0].delta.content) for chunk in chunks) == WORDS


def test_a_bad_configuration_keeps_the_old_workers(pair: LiveProxy, tmp_path: Path) -> None:
    _, plain = issue_token()
    before = workers_of(pair)
    (tmp_path / "providers.yaml").write_text("providers: nothing")
    pair.process.send_signal(signal.SIGHUP)
    eventually(lambda: said(pair, "the restart has stopped") == 1, within_seconds=PATIENCE_SECONDS)
    assert workers_of(pair) == before
    assert get_models(pair, plain) == 200
    assert "llm_proxy.E006" in pair.log()

    (tmp_path / "providers.yaml").write_text(SHIPPED)
    pair.process.send_signal(signal.SIGHUP)
    eventually(lambda: said(pair, RESTARTED) == 1, within_seconds=PATIENCE_SECONDS)
    assert get_models(pair, plain) == 200


def said(live: LiveProxy, event: str) -> int:
    return sum(str(line["event"]).startswith(event) for line in log_lines(live))

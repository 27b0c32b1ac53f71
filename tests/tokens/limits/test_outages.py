"""Redis goes away and comes back: a server of the test's own is killed, stands still, and is started again"""

import asyncio
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import pytest
import redis as sync_redis
from redis.exceptions import RedisError
from structlog.testing import CapturingLogger

from tests.live import eventually
from tests.tokens.limits.world import (
    LAG_MS,
    LEASE_MS,
    Clock,
    Ledger,
    World,
    all_of,
    connect,
    redis_store,
    token,
)
from tokens.limits import link
from tokens.limits.fallback import FallbackStore
from tokens.limits.memory import MemoryStore
from tokens.limits.values import NOTHING, Charge, Counters, LimitsUnavailableError, Subject, Tally

pytestmark = pytest.mark.redis

TIMEOUT_SECONDS = 1.0
CLOSED_PORT = "redis://127.0.0.1:1"


class Server:
    """A redis-server on a socket in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{folder}/redis.sock"

    def start(self) -> None:
        """With what was saved in its folder."""
        options = ["--port", "0", "--unixsocket", "redis.sock", "--save", "", "--daemonize", "no"]
        self._process = subprocess.Popen(
            ["redis-server", *options], cwd=self._folder, stdout=subprocess.DEVNULL
        )
        eventually(self._answers)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stand_still(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def save(self) -> None:
        with sync_redis.Redis.from_url(self.url) as client:
            client.save()

    def _answers(self) -> bool:
        try:
            with sync_redis.Redis.from_url(self.url) as client:
                return bool(client.ping())
        except RedisError:
            return False


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    if shutil.which("redis-server") is None:
        if request.config.getoption("--require-services"):
            pytest.fail("no redis-server on the PATH")
        pytest.skip("no redis-server on the PATH")
    with TemporaryDirectory() as folder:  # not pytest's: the path of a socket must be short
        server = Server(Path(folder))
        server.start()
        yield server
        server.kill()


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "PROBE_SECONDS", 0.05)


@pytest.fixture
async def shared(server: Server) -> AsyncIterator[World]:
    ledger = Ledger(Clock())
    store = redis_store(server.url, "test", ledger, connect(server.url, timeout_seconds=TIMEOUT_SECONDS))
    yield World(store, ledger.clock, ledger)
    await store.aclose()


@pytest.fixture
def fallback(shared: World) -> World:
    return with_fallback(shared)


def with_fallback(shared: World) -> World:
    def open_local() -> MemoryStore:
        return MemoryStore(
            shared.ledger.load_tally, max_accounts=100, lease_seconds=LEASE_MS / 1000, clock=shared.clock
        )

    return World(FallbackStore(shared.store, open_local), shared.clock, shared.ledger)


async def until_back(shared: World) -> None:
    """Redis is looked for when somebody asks."""
    deadline = time.monotonic() + 10
    while True:
        with suppress(LimitsUnavailableError):
            await shared.store.standing((token(),))
            return
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def test_where_there_is_no_redis_limited_requests_are_refused() -> None:
    ledger = Ledger(Clock())
    store = redis_store(CLOSED_PORT, "test", ledger)
    for step in (
        lambda: store.acquire(uuid4(), (token(),), NOTHING),
        lambda: store.standing((token(),)),
        lambda: store.sweep(),
    ):
        with pytest.raises(LimitsUnavailableError):
            await step()
    await store.aclose()


async def test_one_line_says_that_redis_is_away_and_one_that_it_is_back(
    shared: World, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = CapturingLogger()
    monkeypatch.setattr(link, "log", log)
    mine = token()
    await shared.acquire(mine)
    server.kill()
    for _ in range(2):
        results = await asyncio.gather(*[shared.acquire(mine) for _ in range(10)], return_exceptions=True)
        assert all(isinstance(result, LimitsUnavailableError) for result in results)
    server.start()
    await until_back(shared)

    assert [(line.method_name, *line.args) for line in log.calls] == [
        ("warning", "Redis does not answer"),
        ("info", "Redis answers again"),
    ]


async def test_nobody_waits_for_a_redis_that_is_known_to_be_away(shared: World, server: Server) -> None:
    mine = token()
    await shared.acquire(mine)
    server.stand_still()
    began = time.monotonic()
    with pytest.raises(LimitsUnavailableError):
        await shared.acquire(mine)
    first_seconds = time.monotonic() - began
    began = time.monotonic()
    for _ in range(1000):
        with pytest.raises(LimitsUnavailableError):
            await shared.acquire(mine)
    others_seconds = time.monotonic() - began
    server.go_on()
    await until_back(shared)

    assert TIMEOUT_SECONDS <= first_seconds < TIMEOUT_SECONDS + 1
    assert others_seconds < 0.5


async def test_what_a_pause_of_redis_left_in_doubt_is_exact_after_it(shared: World, server: Server) -> None:
    mine = token()
    leases = [await shared.acquire(mine, model_tokens=5, microusd=7) for _ in range(10)]
    server.stand_still()
    attempts = [shared.acquire(mine, model_tokens=5, microusd=7) for _ in range(10)]
    ends = [shared.settle(lease, model_tokens=1, microusd=2) for lease in leases[:5]]
    results = await asyncio.gather(*attempts, *ends, return_exceptions=True)
    server.go_on()
    await until_back(shared)
    await shared.store.renew(leases)
    await shared.store.sweep()

    assert [type(result) for result in results] == [*[results[0].__class__] * 10, *[type(None)] * 5]
    assert isinstance(results[0], LimitsUnavailableError)
    assert await shared.counters(mine) == Counters(10, 5, 10, 30, all_of(10), all_of(35))


async def test_a_restarted_redis_is_built_from_the_ledger_and_not_from_its_disk(
    shared: World, server: Server
) -> None:
    mine = token(max_requests=10)
    running = await shared.acquire(mine, microusd=1)
    server.save()
    for _ in range(4):
        await shared.settle(await shared.acquire(mine), microusd=5)
    shared.clock.advance(LAG_MS)
    server.kill()
    server.start()
    await until_back(shared)

    assert await shared.counters(mine) == Counters(4, 0, 4, 0, all_of(20))
    await shared.store.renew([running])
    assert await shared.counters(mine) == Counters(5, 1, 5, 0, all_of(20), all_of(1))
    assert await shared.admitted(mine, requests=9) == 5


async def test_requests_that_end_while_redis_is_down_are_counted_once(shared: World, server: Server) -> None:
    mine = token()
    early, late = await shared.acquire(mine, microusd=1), await shared.acquire(mine, microusd=1)
    server.kill()
    await shared.settle(early, microusd=10)
    shared.clock.advance(LAG_MS)
    await shared.settle(late, microusd=100)
    server.start()
    await until_back(shared)
    late_row = shared.ledger.rows.pop()  # not written yet
    await shared.counters(mine)
    shared.ledger.rows.append(late_row)
    await shared.store.sweep()

    counters = await shared.counters(mine)
    assert (counters.requests, counters.active, counters.spent) == (2, 0, all_of(110))


async def test_with_local_limits_requests_go_on_and_are_limited(fallback: World, server: Server) -> None:
    mine = token(max_requests=5)
    await fallback.settle(await fallback.acquire(mine))
    server.kill()

    assert await fallback.admitted(mine, requests=9) == 4
    assert (await fallback.counters(mine)).requests == 5
    assert (await fallback.refused(mine)).limit == 5


async def test_a_lease_has_its_store_to_its_end(fallback: World, shared: World, server: Server) -> None:
    mine = token(max_concurrent_requests=2)
    from_redis = await fallback.acquire(mine, microusd=1)
    server.kill()
    local = await fallback.acquire(mine, microusd=2)
    local.used_microusd = 5
    assert await fallback.store.renew([from_redis, local]) == []
    assert local.reserved_microusd == 5
    assert await fallback.store.sweep() == 0
    server.start()
    await until_back(shared)
    await fallback.store.renew([from_redis, local])
    assert (await fallback.counters(mine)).active == 1, "Redis knows of its own"
    fallback.clock.advance(LEASE_MS)
    assert await fallback.store.sweep() == 2
    await fallback.settle(local, microusd=5)
    await fallback.settle(from_redis, microusd=1)

    assert (await fallback.counters(mine)).spent == all_of(1)


async def test_redis_learns_from_the_ledger_what_was_counted_without_it(
    fallback: World, shared: World, server: Server
) -> None:
    mine = token(max_requests=10)
    await fallback.settle(await fallback.acquire(mine), model_tokens=1, microusd=1)
    server.stand_still()
    for _ in range(6):
        await fallback.settle(await fallback.acquire(mine), model_tokens=1, microusd=1)
    server.go_on()
    await until_back(shared)
    await fallback.store.sweep()
    assert (await fallback.counters(mine)).requests == 1
    fallback.clock.advance(LAG_MS)
    await fallback.store.sweep()

    assert await fallback.counters(mine) == Counters(7, 0, 7, 7, all_of(7))
    assert await fallback.admitted(mine, requests=9) == 3


async def test_local_accounts_are_built_anew_in_each_outage(
    fallback: World, shared: World, server: Server
) -> None:
    mine = token(max_requests=10)
    for requests_before in (0, 3):
        server.kill()
        with pytest.raises(LimitsUnavailableError):
            await shared.acquire(mine)
        assert (await fallback.counters(mine)).requests == requests_before
        for _ in range(2):
            await fallback.settle(await fallback.acquire(mine))
        server.start()
        await until_back(shared)
        await fallback.settle(await fallback.acquire(mine))


async def test_a_ledger_that_is_away_is_no_reason_to_count_locally(server: Server) -> None:
    async def load_tally(subject: Subject, at_ms: int) -> Tally:
        raise LimitsUnavailableError

    ledger = Ledger(Clock())
    ledger.load_tally = load_tally  # type: ignore[method-assign]
    store = redis_store(server.url, "test", ledger)
    opened: list[str] = []

    def open_local() -> MemoryStore:
        opened.append("local")
        return MemoryStore(load_tally, max_accounts=10)

    fallback = FallbackStore(store, open_local)
    with pytest.raises(LimitsUnavailableError):
        await fallback.acquire(uuid4(), (token(),), NOTHING)
    with pytest.raises(LimitsUnavailableError):
        await fallback.standing((token(),))

    assert opened == []
    await fallback.aclose()


async def test_what_the_ledger_has_written_is_told_to_the_local_store(
    fallback: World, server: Server
) -> None:
    server.kill()
    tokens = [token() for _ in range(150)]
    for subject in tokens:
        await fallback.store.settle(await fallback.acquire(subject), Charge())
    fallback.store.written({subject.id: 1 for subject in tokens})
    fallback.ledger.reads.clear()
    for subject in tokens:
        await fallback.counters(subject)

    assert len(fallback.ledger.reads) >= 50, "written accounts are forgotten beyond the first hundred"

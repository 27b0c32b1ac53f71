"""Which store the settings open."""

from uuid import uuid4

import pytest
from pytest_django.fixtures import Settings
from redis import Redis

from tests.tokens.limits.world import Clock, Ledger, token
from tokens.limits.fallback import FallbackStore
from tokens.limits.memory import MemoryStore
from tokens.limits.opening import open_store
from tokens.limits.redis import RedisStore
from tokens.limits.values import NOTHING, Charge, LimitsUnavailableError

CLOSED_PORT = "redis://:secret-password@127.0.0.1:1"


@pytest.mark.parametrize(
    ("url", "without_redis", "store"),
    [
        ("", "refuse", MemoryStore),
        ("", "local", MemoryStore),
        (CLOSED_PORT, "refuse", RedisStore),
        (CLOSED_PORT, "local", FallbackStore),
    ],
)
async def test_the_settings_say_where_limits_are_counted(
    settings: Settings, url: str, without_redis: str, store: type
) -> None:
    settings.REDIS_URL, settings.LIMITS_WITHOUT_REDIS = url, without_redis
    opened = open_store(Ledger(Clock()).load_tally)
    opened.written({uuid4(): 1})
    await opened.aclose()

    assert type(opened) is store


@pytest.mark.redis
async def test_an_opened_store_counts_in_redis(settings: Settings, redis_url: str, sync: Redis) -> None:
    settings.REDIS_URL, mine = redis_url, token(max_requests=1)
    first, second = [open_store(Ledger(Clock()).load_tally) for _ in range(2)]
    lease = await first.acquire(uuid4(), (mine,), NOTHING)
    (counters,) = await second.standing((mine,))
    await second.settle(lease, Charge())
    for store in (first, second):
        await store.aclose()
    for key in sync.scan_iter("{llm-proxy}*", count=1000):
        if key.decode().rpartition(":")[2] in (str(mine.id), str(lease.id)):
            sync.delete(key)

    assert (lease.subjects, counters.requests) == ((mine,), 1)


async def test_no_error_and_no_line_holds_the_password(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.REDIS_URL = CLOSED_PORT
    store = open_store(Ledger(Clock()).load_tally)
    with pytest.raises(LimitsUnavailableError) as raised:
        await store.acquire(uuid4(), (token(),), NOTHING)
    await store.aclose()

    assert "secret-password" not in f"{raised.value!r}{raised.value.__cause__!r}{capsys.readouterr()}"

"""The store of limits that the settings ask for."""

from django.conf import settings
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tokens.limits.fallback import FallbackStore
from tokens.limits.memory import MemoryStore
from tokens.limits.redis import RedisStore
from tokens.limits.values import LimitStore, LoadTally

MAX_CONNECTIONS = 32
LEDGER_LAG_SECONDS = 2.0


def open_store(load_tally: LoadTally) -> LimitStore:
    """In this process's memory, or in Redis if there is a REDIS_URL. Close it with `aclose`."""

    def open_memory() -> MemoryStore:
        return MemoryStore(
            load_tally,
            max_accounts=10 * settings.DIRECTORY_MAX_TOKENS,
            lease_seconds=settings.LIMITS_LEASE_SECONDS,
        )

    if not settings.REDIS_URL:
        return open_memory()
    shared = RedisStore(
        connect(MAX_CONNECTIONS),
        load_tally,
        lease_seconds=settings.LIMITS_LEASE_SECONDS,
        ledger_lag_seconds=LEDGER_LAG_SECONDS + settings.LEDGER_BATCH_SECONDS,
    )
    return FallbackStore(shared, open_memory) if settings.LIMITS_WITHOUT_REDIS == "local" else shared


def connect(max_connections: int) -> "Redis":
    """The Redis of the settings, without retries and with short timeouts. Close it with `aclose`."""
    return Redis.from_url(
        settings.REDIS_URL,
        max_connections=max_connections,
        socket_timeout=settings.REDIS_TIMEOUT_SECONDS,
        socket_connect_timeout=settings.REDIS_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),  # a script that was not answered may have run
    )

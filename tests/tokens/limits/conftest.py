"""`world` is a test's store: each test runs on the one in memory and on the one in a real Redis."""

from collections.abc import AsyncIterator, Iterator

import pytest
from redis import Redis

from tests.tokens.limits.world import World, memory_world, own_prefix, redis_world


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "memory":
        yield memory_world()
        return
    url = request.getfixturevalue("redis_url")
    with own_prefix(url) as prefix:
        async with redis_world(url, prefix) as world:
            yield world


@pytest.fixture
def prefix(redis_url: str) -> Iterator[str]:
    with own_prefix(redis_url) as prefix:
        yield prefix


@pytest.fixture
async def redis(redis_url: str, prefix: str) -> AsyncIterator[World]:
    """For what only Redis does."""
    async with redis_world(redis_url, prefix) as world:
        yield world


@pytest.fixture
def sync(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client

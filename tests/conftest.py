"""Fixtures of every test: the database in a file, and real servers on it."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from redis import Redis, RedisError

from llm_proxy_site.environment import SQLITE
from tests.databases import NoServerError, database_on
from tests.live import LiveProxy, serving

MAX_SHOWN_LOG = 10_000
"""Characters."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--require-services", action="store_true", help="an absent service is a failure")


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Long texts are often generated, and test ids must be the same in every worker process."""
    return argname if isinstance(val, str) and len(val) > 30 else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails shows the end of its servers' logs."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        servers = {
            live.url: live
            for value in item.funcargs.values()
            for live in (value if isinstance(value, list) else [value])
            if isinstance(live, LiveProxy)
        }
        for url, live in servers.items():
            report.sections.append((f"log of {url}", live.log()[-MAX_SHOWN_LOG:]))
    return report


@pytest.fixture(scope="session")
def django_db_modify_db_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One for each process of tests, which the servers that these start can share: a file, on SQLite."""
    from django.conf import settings

    if settings.DATABASES["default"]["ENGINE"] != SQLITE:
        worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
        settings.DATABASES["default"]["TEST"]["NAME"] = f"test_llm_proxy_{worker}"
        return
    settings.DATABASES["default"]["TEST"]["NAME"] = str(tmp_path_factory.mktemp("database") / "test.db")


@pytest.fixture(scope="session")
def _live(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveProxy]:
    with serving(tmp_path_factory.mktemp("live")) as live:
        yield live


@pytest.fixture
def live(_live: LiveProxy, transactional_db: None) -> LiveProxy:
    """A real server with a fake upstream, on the database that the test itself uses through the ORM."""
    return _live


@pytest.fixture
def private_live(
    django_db_setup: None, transactional_db: None, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[LiveProxy]:
    """A server of the test's own, to be stopped or watched; its parameter: more environment."""
    with serving(tmp_path, **getattr(request, "param", {})) as live:
        yield live


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Of a database of the test's own."""
    server = os.environ.get("TEST_POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/postgres")
    yield from _database_on(server, "PostgreSQL at TEST_POSTGRES_URL", request)


@pytest.fixture
def mysql_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Of a database of the test's own, on MariaDB or MySQL."""
    server = os.environ.get("TEST_MYSQL_URL", "mysql://root@127.0.0.1:3306/mysql")
    yield from _database_on(server, "MariaDB at TEST_MYSQL_URL", request)


def _database_on(server: str, name: str, request: pytest.FixtureRequest) -> Iterator[str]:
    try:
        with database_on(server) as url:
            yield url
    except NoServerError as problem:
        if request.config.getoption("--require-services"):
            raise
        pytest.skip(f"no {name}: {problem}")


@pytest.fixture(scope="session")
def redis_url(request: pytest.FixtureRequest) -> str:
    """Of a real Redis, which others use too: tests keep to key names of their own."""
    url = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379")
    try:
        with Redis.from_url(url, socket_connect_timeout=3) as redis:
            redis.ping()
    except RedisError as problem:
        if request.config.getoption("--require-services"):
            raise
        pytest.skip(f"no Redis at TEST_REDIS_URL: {problem}")
    return url

"""Fixtures of every test: the database in a file, and real servers on it."""

import os
import shutil
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from redis import Redis, RedisError

from llm_proxy_site.environment import SQLITE
from tests import forked
from tests.browser import CHROMIUM, Browser, browsing
from tests.databases import NoServerError
from tests.emptying import empty_beside_servers, end_other_sessions, keep_what_migrations_make
from tests.installations import Install, Installation, on_server, on_sqlite
from tests.live import LiveProxy, serving
from tests.prometheus import Prometheus

ROOT = Path(__file__).resolve().parent.parent
MAX_SHOWN_LOG = 10_000
"""Characters."""

forked.fork_our_programs()


def pytest_configure(config: pytest.Config) -> None:
    from django.conf import settings

    settings.WHITENOISE_AUTOREFRESH = True  # else every test client looks for all static files


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Tests with servers wait for half of their time."""
    processors = len(os.sched_getaffinity(0))
    return processors + (processors + 1) // 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where servers do the work, it is these that are measured, and not the clients beside them."""
    for item in items:
        if Path("tests/e2e") in item.path.relative_to(ROOT).parents:
            item.add_marker(pytest.mark.no_cover)


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
def django_db_setup(django_db_setup: None) -> Iterator[None]:
    """pytest-django's, where servers and threads of tests have sessions on the database, too."""
    keep_what_migrations_make()
    empty_beside_servers()
    yield
    end_other_sessions()


@pytest.fixture(scope="session")
def _live(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveProxy]:
    with serving(tmp_path_factory.mktemp("live"), is_measured=True) as live:
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


@pytest.fixture(scope="session")
def _install_on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Install]:
    with on_sqlite(tmp_path_factory.mktemp("sqlite") / "data") as install:
        yield install


@pytest.fixture(scope="session")
def _install_on_postgres(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Install]:
    server = os.environ.get("TEST_POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/postgres")
    with (
        _needing("PostgreSQL at TEST_POSTGRES_URL", request),
        on_server(server, tmp_path_factory.mktemp("postgres")) as install,
    ):
        yield install


@pytest.fixture(scope="session")
def _install_on_mysql(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Install]:
    server = os.environ.get("TEST_MYSQL_URL", "mysql://root@127.0.0.1:3306/mysql")
    with (
        _needing("MariaDB at TEST_MYSQL_URL", request),
        on_server(server, tmp_path_factory.mktemp("mysql")) as install,
    ):
        yield install


@pytest.fixture
def sqlite_installation(_install_on_sqlite: Install, tmp_path: Path) -> Iterator[Installation]:
    """One of the test's own."""
    with _install_on_sqlite(tmp_path / "data") as installation:
        yield installation


@pytest.fixture
def postgres_installation(_install_on_postgres: Install, tmp_path: Path) -> Iterator[Installation]:
    """One of the test's own."""
    with _install_on_postgres(tmp_path / "data") as installation:
        yield installation


@pytest.fixture
def mysql_installation(_install_on_mysql: Install, tmp_path: Path) -> Iterator[Installation]:
    """One of the test's own, on MariaDB or MySQL."""
    with _install_on_mysql(tmp_path / "data") as installation:
        yield installation


@contextmanager
def _needing(name: str, request: pytest.FixtureRequest) -> Iterator[None]:
    try:
        yield
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


@pytest.fixture
def prometheus(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Prometheus]:
    """The real one, not yet started, and its promtool."""
    if not all(map(shutil.which, ("prometheus", "promtool"))):
        if request.config.getoption("--require-services"):
            pytest.fail("no prometheus and promtool")
        pytest.skip("no prometheus and promtool")
    with closing(Prometheus(tmp_path / "prometheus")) as opened:
        yield opened


@pytest.fixture
def browser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    """Its parameter: options of its context."""
    if not CHROMIUM.exists():
        if request.config.getoption("--require-services"):
            pytest.fail(f"no {CHROMIUM}")
        pytest.skip(f"no {CHROMIUM}")
    # Playwright's own event loop runs in this thread, where the test asks the database.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    with browsing(**getattr(request, "param", {})) as opened:
        yield opened

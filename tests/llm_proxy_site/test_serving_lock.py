"""Who serves and who would replace the database keep each other away; who counts alone is told of others."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from django.db import connection

from llm_proxy_site.processes import MANAGE, ChildFailedError, running
from tests.installations import Installation
from tests.live import eventually, proxy_before

UPSTREAM = "http://127.0.0.1:9/v1"


@pytest.mark.skipif(connection.vendor != "sqlite", reason="of other databases it cannot be seen")
@pytest.mark.usefixtures("transactional_db")
def test_a_second_server_that_counts_for_itself_is_told(django_db_setup: None, tmp_path: Path) -> None:
    with (
        proxy_before(UPSTREAM, tmp_path / "first.log", REDIS_URL=""),
        proxy_before(UPSTREAM, tmp_path / "second.log", REDIS_URL="") as second,
    ):
        assert "Set REDIS_URL for both" in second.log()


@pytest.mark.usefixtures("transactional_db")
@pytest.mark.redis
def test_servers_that_count_together_are_not(django_db_setup: None, tmp_path: Path, redis_url: str) -> None:
    with (
        proxy_before(UPSTREAM, tmp_path / "first.log", REDIS_URL=redis_url),
        proxy_before(UPSTREAM, tmp_path / "second.log", REDIS_URL=redis_url) as second,
    ):
        assert "REDIS_URL" not in second.log()


HOLDER = """
import signal, django
django.setup()
from llm_proxy_site.serving_lock import alone
with alone():
    print("alone")
    signal.pause()
"""


@contextmanager
def replacing(environment: Installation) -> Iterator[None]:
    """As `restore_db` does all the while."""
    told = {**environment, "DJANGO_SETTINGS_MODULE": "llm_proxy_site.settings"}
    with running("-c", HOLDER, environment=told):
        yield


def begin(command: str, environment: Installation, log: Path) -> str:
    """What it complains of when it ends, as it must by itself."""
    where = ["--bind", "127.0.0.1:0"] if command == "serve" else ["--noreload", "127.0.0.1:0"]
    with (
        log.open("w") as stderr,
        suppress(ChildFailedError),  # `serve` prints nothing, and ends
        running(str(MANAGE), command, *where, environment=environment, stderr=stderr) as (child, _),
    ):
        child.wait(60)
    return log.read_text()


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgres", marks=pytest.mark.postgres),
        pytest.param("mysql", marks=pytest.mark.mysql),
    ]
)
def installation(request: pytest.FixtureRequest) -> Installation:
    installation: Installation = request.getfixturevalue(f"{request.param}_installation")
    return installation


def test_nobody_begins_to_serve_while_the_database_is_replaced(
    installation: Installation, tmp_path: Path
) -> None:
    with replacing(installation):
        assert "The database is being restored" in begin("serve", installation, tmp_path / "log")


@pytest.mark.redis
def test_nobody_replaces_the_database_while_workers_serve(installation: Installation, redis_url: str) -> None:
    shared = {**installation, "REDIS_URL": redis_url}
    serve = ("serve", "--bind", "127.0.0.1:0", "--workers", "2")
    with (
        running(str(MANAGE), *serve, environment=shared),
        pytest.raises(ChildFailedError),
        replacing(installation),
    ):
        pass
    with replacing(installation):
        pass  # all claims are gone with the servers


def test_the_development_server_does_as_others(sqlite_installation: Installation, tmp_path: Path) -> None:
    with replacing(sqlite_installation):
        log = begin("runserver", sqlite_installation, tmp_path / "log")
        assert "The database is being restored" in log
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = (str(MANAGE), "runserver", "--noreload", address)
    with running(*command, environment=sqlite_installation) as (child, _):
        eventually(lambda: _accepts(address) or child.poll() is not None, within_seconds=60)
        with pytest.raises(ChildFailedError), replacing(sqlite_installation):
            pass


def _accepts(address: str) -> bool:
    host, port = address.split(":")
    with socket.socket() as client:
        return client.connect_ex((host, int(port))) == 0

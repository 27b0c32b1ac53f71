"""`manage.py setup` and what it makes, in real processes: settings are read once per process."""

import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from llm_proxy_site.processes import MANAGE

pytestmark = pytest.mark.xdist_group("setup")  # one process of tests, one installation

SECRETS = ("SECRET_KEY", "ENCRYPTION_KEYS", "DATABASE_URL", "DATA_DIR")


def run(data_dir: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command in an environment without the tests' own secrets."""
    clean = {name: value for name, value in os.environ.items() if name not in SECRETS}
    return subprocess.run(
        [sys.executable, str(MANAGE), *arguments],
        env={**clean, "DATA_DIR": str(data_dir), **environment},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def _set_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data_dir = tmp_path_factory.mktemp("installation") / "data"
    run(data_dir, "setup")
    return data_dir


@pytest.fixture
def data_dir(_set_up: Path, tmp_path: Path) -> Path:
    """As `setup` leaves it, with the secrets in it."""
    return shutil.copytree(_set_up, tmp_path / "data")


def test_setup_makes_everything_once(tmp_path: Path) -> None:
    data_dir = tmp_path / "deep" / "data"
    first = json.loads(run(data_dir, "setup", "--json").stdout)
    secrets = (data_dir / "secrets.env").read_text()
    second = json.loads(run(data_dir, "setup", "--json").stdout)

    assert first["secrets_made"] == ["SECRET_KEY", "ENCRYPTION_KEYS"]
    assert first["admin"]["username"] == "admin"
    assert len(first["admin"]["password"]) >= 20
    assert stat.S_IMODE((data_dir / "secrets.env").stat().st_mode) == 0o600
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
    assert (second["secrets_made"], second["admin"]) == ([], None)
    assert (data_dir / "secrets.env").read_text() == secrets


def test_setup_makes_only_the_secrets_that_the_environment_lacks(tmp_path: Path) -> None:
    done = run(tmp_path, "setup", "--json", SECRET_KEY="x" * 60)

    assert json.loads(done.stdout)["secrets_made"] == ["ENCRYPTION_KEYS"]
    assert "SECRET_KEY" not in (tmp_path / "secrets.env").read_text()


def test_setup_without_admin_prints_no_password(tmp_path: Path) -> None:
    done = run(tmp_path, "setup", "--without-admin", "--json")
    later = run(tmp_path, "setup", "--json")

    assert json.loads(done.stdout)["admin"] is None
    assert json.loads(later.stdout)["admin"]["username"] == "admin"


def test_setup_says_for_people_what_it_did(tmp_path: Path) -> None:
    text = run(tmp_path, "setup").stdout

    assert f"Ready: {tmp_path}" in text
    assert "Admin account: admin / " in text
    assert "back this file up" in text
    assert run(tmp_path, "setup").stdout == f"Ready: {tmp_path}\n"


def test_sqlite_is_set_up_for_concurrency_and_safety(data_dir: Path) -> None:
    shown = run(
        data_dir,
        "shell",
        "-v0",
        "-c",
        "from django.db import connection as c; u = c.cursor();"
        "print([u.execute('PRAGMA ' + n).fetchone()[0]"
        " for n in ('journal_mode', 'synchronous', 'foreign_keys', 'busy_timeout', 'cache_size')])",
    )

    assert shown.stdout.strip() == "['wal', 2, 1, 20000, -16384]"
    assert (data_dir / "llm-proxy.db").is_file()


def test_without_setup_commands_say_what_to_do(tmp_path: Path) -> None:
    done = run(tmp_path, "serve")

    assert done.returncode == 1
    assert "llm_proxy.E002" in done.stderr
    assert "manage.py setup" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unmigrated_database_is_not_served(data_dir: Path) -> None:
    with sqlite3.connect(data_dir / "llm-proxy.db") as database:
        database.execute("DELETE FROM django_migrations WHERE app = 'usage'")
    done = run(data_dir, "serve")

    assert done.returncode == 1
    assert "Run `python manage.py setup` first" in done.stderr


@pytest.mark.parametrize("bind", ["nonsense", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:-1"])
def test_a_bad_address_is_wrong_usage(data_dir: Path, bind: str) -> None:
    done = run(data_dir, "serve", "--bind", bind)

    assert done.returncode == 2
    assert "is not HOST:PORT" in done.stderr


def test_an_address_in_use_is_said(data_dir: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run(data_dir, "serve", "--bind", address)

    assert done.returncode == 1
    assert f"Cannot listen on {address}: " in done.stderr
    assert "in use" in done.stderr


def test_a_data_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run(tmp_path / "file" / "data", "setup")

    assert done.returncode == 1
    assert "Not a directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_that_is_away_is_said_in_a_sentence(data_dir: Path) -> None:
    done = run(data_dir, "list_projects", DATABASE_URL="postgres://user:hidden@127.0.0.1:1/none")

    assert done.returncode == 1
    assert done.stderr.startswith("CommandError: The database does not answer: ")
    assert "Traceback" not in done.stderr
    assert "hidden" not in done.stderr

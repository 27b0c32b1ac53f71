import os
import subprocess
import sys
from pathlib import Path

import pytest

from llm_proxy_site.environment import Environment
from llm_proxy_site.processes import MANAGE
from tests.rights import run_without_rights


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> Environment:
    monkeypatch.setenv("A_NUMBER", "7")
    monkeypatch.setenv("A_TEXT", "seven")
    monkeypatch.setenv("EMPTY", " ")
    monkeypatch.setenv("A_LIST", "a, b,,c")
    monkeypatch.setenv("A_FLAG", "True")
    return Environment()


def test_values_are_read(env: Environment) -> None:
    assert env.whole("A_NUMBER", 1) == 7
    assert env.seconds("A_NUMBER", 1) == 7.0
    assert env.text("A_TEXT") == "seven"
    assert env.words("A_LIST") == ["a", "b", "c"]
    assert env.flag("A_FLAG", default=False) is True
    assert env.problems == []


def test_networks_are_read_all_or_none(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETWORKS", "10.0.0.0/8, ::1,")
    assert list(map(str, env.networks("NETWORKS"))) == ["10.0.0.0/8", "::1/128"]
    monkeypatch.setenv("NETWORKS", "10.0.0.0/8, 10.0.0.1/8")
    assert env.networks("NETWORKS") == ()
    assert env.problems == ["NETWORKS: must be networks such as 10.0.0.0/8, comma-separated"]


def test_pairs_are_read_all_or_none(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAIRS", "x-api-key=a%20b%2C=, other = 1,")
    assert env.pairs("PAIRS") == {"x-api-key": "a b,=", "other": "1"}
    for bad in ("secret", "=secret", "a b=secret", "a=sécret", "a=secret%0d%0ax: y"):
        monkeypatch.setenv("PAIRS", bad)
        assert env.pairs("PAIRS") == {}
    assert env.pairs("NOT_THERE") == {}
    assert len(env.problems) == 5
    assert "secret" not in str(env.problems)


@pytest.mark.parametrize(
    ("url", "is_one"),
    [
        ("http://127.0.0.1:4318", True),
        ("https://user:secret@[::1]/v1/traces?x=y", True),
        ("127.0.0.1:4318", False),
        ("grpc://secret:4317", False),
        ("http://", False),
        ("http://secret:port", False),
        ("http://[secret", False),
        ("http://a secret", False),
        ("http://sécret", False),
    ],
)
def test_an_url_is_one_of_http(
    env: Environment, monkeypatch: pytest.MonkeyPatch, url: str, is_one: bool
) -> None:
    monkeypatch.setenv("AN_URL", url)
    assert env.url("AN_URL") == (url if is_one else "")
    assert env.problems == (
        [] if is_one else ["AN_URL: must be an http(s) URL such as http://127.0.0.1:4318"]
    )


def test_a_share_is_from_0_to_1(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SHARE", "0.25")
    assert (env.share("A_SHARE", 1.0), env.share("NOT_THERE", 0.5)) == (0.25, 0.5)
    assert [env.share(name, 0.5) for name in ("A_NUMBER", "A_TEXT")] == [0.5, 0.5]
    assert env.problems == ["A_NUMBER: must be at most 1", "A_TEXT: must be a number"]


def test_missing_and_empty_values_take_the_default(env: Environment) -> None:
    assert env.whole("NOT_THERE", 1) == 1
    assert env.whole("EMPTY", 1) == 1
    assert env.problems == []


def test_bad_values_take_the_default_and_are_named_without_being_shown(env: Environment) -> None:
    assert env.whole("A_TEXT", 1) == 1
    assert env.seconds("A_TEXT", 2.0) == 2.0
    assert env.whole("A_NUMBER", 10, minimum=8) == 10
    assert env.flag("A_TEXT", default=True) is True
    assert env.read("A_TEXT", _explode, None) is None
    assert env.problems == [
        "A_TEXT: must be a whole number",
        "A_TEXT: must be a number",
        "A_NUMBER: must be at least 8",
        "A_TEXT: must be true or false",
        "A_TEXT: cannot be understood",
    ]


def test_a_file_gives_what_the_environment_does_not(env: Environment, tmp_path: Path) -> None:
    file = tmp_path / "x.env"
    file.write_text("A_TEXT=other\nFROM_FILE=yes\n")
    env.read_file(file)
    env.read_file(tmp_path / "missing.env")

    assert env.text("A_TEXT") == "seven"
    assert env.text("FROM_FILE") == "yes"


def test_a_file_in_a_folder_that_cannot_be_entered_is_not_taken_for_none(tmp_path: Path) -> None:
    file = tmp_path / "secrets.env"
    file.write_text("A_TEXT=secret\n")
    script = (
        "import sys; from pathlib import Path; from llm_proxy_site.environment import Environment\n"
        "env = Environment(); env.read_file(Path(sys.argv[1])); print(*env.problems)"
    )
    said = run_without_rights(script, file, folder_mode=0o600)
    assert said == f"{file} cannot be read as a file of KEY=value lines in UTF-8"


def _explode(value: str) -> None:
    raise ValueError(f"bad: {value}")


@pytest.mark.parametrize("url", ["nonsense", "mysql://", "postgres://", "oracle://a/b"])
def test_a_database_that_is_not_supported_is_a_bad_value(
    env: Environment, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("A_DATABASE", url)

    assert env.database("A_DATABASE", Path("/x/y.db"))["NAME"] == "/x/y.db"
    assert env.problems == [
        "A_DATABASE: must be postgres://USER:PASSWORD@HOST:PORT/NAME, mysql://..., or sqlite:///FILE"
    ]


@pytest.mark.parametrize("command", ["setup", "list_projects", "serve"])
def test_a_driver_for_mysql_that_cannot_be_loaded_is_told_in_a_sentence(tmp_path: Path, command: str) -> None:
    (tmp_path / "MySQLdb.py").write_text(
        "raise ImportError('libmariadb.so.3: cannot open shared object file')"
    )
    done = subprocess.run(
        [sys.executable, "-u", str(MANAGE), command],  # not forked, for it has its own path
        env={
            **os.environ,
            "DATABASE_URL": "mysql://root:secret@127.0.0.1:1/proxy",
            "DATA_DIR": str(tmp_path / "data"),
            "PYTHONPATH": str(tmp_path),
        },
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1
    assert "DATABASE_URL: the driver for MySQL and MariaDB cannot be loaded" in done.stderr
    assert "`make mysql`" in done.stderr
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr


def test_a_database_is_read_from_its_url(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_DATABASE", "postgres://u:p@h:1/n")
    config = env.database("A_DATABASE", Path("/x/y.db"))

    assert (config["ENGINE"], config["HOST"], config["NAME"]) == ("django.db.backends.postgresql", "h", "n")

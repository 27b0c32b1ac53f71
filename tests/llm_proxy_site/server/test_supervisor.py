"""The supervisor with workers that are none: what it says, and what it does when nothing starts."""

import json
import subprocess
import sys

import pytest

from llm_proxy_site.server.orders import Grace, read_ready, say_ready


def supervise(*worker: str) -> "subprocess.CompletedProcess[str]":
    options = ["--bind=127.0.0.1:0", "--workers=2", "--log-level=INFO", "--log-format=json"]
    return subprocess.run(
        [sys.executable, "-m", "llm_proxy_site.server.supervisor", *options, "--", *worker],
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_it_gives_up_when_no_worker_ever_starts() -> None:
    ended = supervise(sys.executable, "-c", "raise SystemExit(3)")
    lines = [json.loads(line) for line in ended.stderr.splitlines()]

    assert ended.returncode == 1
    assert ended.stdout == ""
    assert [line["exit_code"] for line in lines if line["event"] == "worker did not start"] == [3, 3, 3]
    assert any(line["event"] == "no worker starts, giving up" for line in lines)
    assert all(line["process"] == "supervisor" and line["pid"] for line in lines)


def test_a_program_that_is_not_there_is_no_crash() -> None:
    ended = supervise("/nowhere/python")

    assert ended.returncode == 1
    assert "worker cannot be started" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_what_a_worker_says_is_understood() -> None:
    grace = Grace(stop=0.5, restart=600.0)
    assert read_ready(say_ready(grace)) == grace


@pytest.mark.parametrize("line", [b"", b"ready", b"ready 1 2", b"hello 1 2\n"])
def test_anything_else_is_not_ready(line: bytes) -> None:
    assert read_ready(line) is None

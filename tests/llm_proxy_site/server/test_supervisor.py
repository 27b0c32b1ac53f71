"""The supervisor with workers that are none: what it says, and what it does when nothing starts."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from llm_proxy_site.addresses import Address
from llm_proxy_site.server.orders import Grace, read_ready, say_ready
from llm_proxy_site.server.supervisor import Supervisor, listen
from llm_proxy_site.server.worker import Worker
from proxy.metrics.board import open_memory
from tests.live import eventually

PATIENCE_SECONDS = 60
WORKER = """
import os, socket, sys, time
given = dict(argument.removeprefix("--").split("=") for argument in sys.argv[1:])
number, line = int(given["worker"]), socket.socket(fileno=int(given["supervisor-descriptor"]))
{start}
line.send(b"ready 5 600\\n")
while orders := line.recv(100):
    if b"stop" in orders or b"quit" in orders:
        time.sleep(0.5)
        os.write(1, b"ended well\\n")
        break
"""
"""Has clients: it stays when it is retired."""


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
    assert [line["exit_code"] for line in lines if line["event"] == "worker did not start"] == [3] * 6
    assert any(line["event"] == "no worker starts, giving up" for line in lines)
    assert all(line["process"] == "supervisor" and line["pid"] for line in lines)


def test_what_works_at_last_is_not_given_up(tmp_path: Path) -> None:
    """Three of them fail at once, again and again; the others need a moment."""
    start = "sys.exit(1) if number <= 3 else time.sleep(1)"
    with supervising(tmp_path, WORKER.format(start=start), count=5) as supervisor:
        eventually(lambda: supervisor.said("worker is ready") == 2, within_seconds=PATIENCE_SECONDS)
        assert supervisor.end() == 0

    assert supervisor.output().splitlines() == ["ended well"] * 2


def test_sigterm_while_a_failed_worker_is_waited_for_lets_the_others_end(tmp_path: Path) -> None:
    start = "if number == 2: line.close(); print('failed', flush=True); time.sleep(60)"
    with supervising(tmp_path, WORKER.format(start=start)) as supervisor:
        eventually(lambda: supervisor.said("worker is ready") == 1, within_seconds=PATIENCE_SECONDS)
        eventually(lambda: "failed" in supervisor.output(), within_seconds=PATIENCE_SECONDS)
        assert supervisor.end() == 0

    assert "Traceback" not in supervisor.log.read_text()
    assert "ended well" in supervisor.output()


def test_many_restarts_keep_few_old_workers(tmp_path: Path) -> None:
    with supervising(tmp_path, WORKER.format(start="time.sleep(0.3)")) as supervisor:
        eventually(lambda: supervisor.said("worker is ready") == 2, within_seconds=PATIENCE_SECONDS)
        supervisor.process.send_signal(signal.SIGHUP)
        eventually(lambda: supervisor.said("restarting the workers") == 1, within_seconds=PATIENCE_SECONDS)
        for _ in range(10):
            supervisor.process.send_signal(signal.SIGHUP)
        for rolls in (2, 3, 4):
            eventually(lambda: supervisor.said("the workers are") == rolls, within_seconds=PATIENCE_SECONDS)  # noqa: B023
            assert len(supervisor.workers()) <= 6
            if rolls < 4:
                supervisor.process.send_signal(signal.SIGHUP)
        assert supervisor.said("old worker has ended") == 4
        assert supervisor.end() == 0


async def test_sigterm_while_a_worker_is_dying_that_a_restart_has_killed_is_no_failure() -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with listen(Address("127.0.0.1", 0)) as listening, os.fdopen(open_memory(1), "rb") as counts:
        supervisor = Supervisor(command, listening, 1, counts.fileno())
        worker = await Worker.start(1, command, listening, counts.fileno())
        stopping = asyncio.create_task(supervisor._stop(worker))
        worker.kill()
        await asyncio.wait_for(stopping, PATIENCE_SECONDS)

    assert supervisor.exit_code == 0


@dataclass(frozen=True)
class Supervised:
    process: subprocess.Popen[str]
    log: Path

    def said(self, event: str) -> int:
        lines: list[dict[str, Any]] = [json.loads(line) for line in self.log.read_text().splitlines()]
        return sum(line["event"].startswith(event) for line in lines)

    def output(self) -> str:
        return self.log.with_suffix(".out").read_text()

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def end(self) -> int:
        self.process.terminate()
        return self.process.wait(PATIENCE_SECONDS)


@contextmanager
def supervising(folder: Path, program: str, *, count: int = 2) -> Iterator[Supervised]:
    """With workers that are this program."""
    options = ["--bind=127.0.0.1:0", f"--workers={count}", "--log-level=INFO", "--log-format=json"]
    worker = [sys.executable, "-c", program]
    log = folder / "supervisor.log"
    with log.open("w") as stderr, log.with_suffix(".out").open("w") as stdout:
        process = subprocess.Popen(
            [sys.executable, "-m", "llm_proxy_site.server.supervisor", *options, "--", *worker],
            stdout=stdout,
            stderr=stderr,
            text=True,
        )
    try:
        yield Supervised(process, log)
    finally:
        if process.poll() is None:
            for child in psutil.Process(process.pid).children():
                child.kill()
            process.kill()
        process.wait()


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

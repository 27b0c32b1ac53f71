"""`serve --workers`: a supervisor and its workers, as real processes that are killed, replaced and ended."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from llm_proxy_site.processes import MANAGE
from tests.databases import own_database_url
from tests.factories import issue_token
from tests.live import LiveProxy, eventually, serving
from usage.models import UsageRecord

pytestmark = pytest.mark.redis

STREAM = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
def pair(
    redis_url: str, django_db_setup: None, transactional_db: None, tmp_path: Path
) -> Iterator[LiveProxy]:
    """One server of two workers."""
    with serving(tmp_path, WORKERS="2", REDIS_URL=redis_url) as live:
        yield live


def test_a_killed_worker_is_replaced_while_the_other_goes_on(pair: LiveProxy) -> None:
    _, plain = issue_token()
    doomed, other = workers_of(pair)
    doomed.kill()
    for _ in range(20):
        assert get_models(pair, plain) == 200
    eventually(lambda: len(workers_of(pair)) == 2 and ready_lines(pair) == 3, within_seconds=30)

    assert doomed not in workers_of(pair)
    assert other in workers_of(pair)
    (told,) = [line for line in log_lines(pair) if line["event"] == "worker has ended, it is replaced"]
    assert told["exit_code"] == -signal.SIGKILL


def test_sigterm_lets_every_worker_finish_its_streams(pair: LiveProxy) -> None:
    token, plain = issue_token()
    streams = [a_stream(pair, plain) for _ in range(8)]
    eventually(lambda: pair.upstream_stats()["running"] == 8)
    pair.process.send_signal(signal.SIGTERM)
    eventually(lambda: not pair.listens())

    assert all(stream.result(timeout=60).endswith("data: [DONE]") for stream in streams)
    assert pair.process.wait(timeout=30) == 0
    assert UsageRecord.objects.filter(token=token, outcome="completed").count() == 8


def test_a_second_signal_ends_all_at_once(pair: LiveProxy) -> None:
    _, plain = issue_token()
    workers = workers_of(pair)
    streams = [a_stream(pair, plain, chunks=600) for _ in range(4)]
    eventually(lambda: pair.upstream_stats()["running"] == 4)
    pair.process.send_signal(signal.SIGTERM)
    eventually(lambda: not pair.listens())
    pair.process.send_signal(signal.SIGINT)

    pair.process.wait(timeout=20)
    assert not any(worker.is_running() for worker in workers)
    for stream in streams:
        with pytest.raises(httpx.HTTPError):
            stream.result(timeout=20)


def test_workers_do_not_outlive_a_supervisor_that_is_killed(pair: LiveProxy) -> None:
    _, plain = issue_token()
    workers = workers_of(pair)
    stream = a_stream(pair, plain)
    eventually(lambda: pair.upstream_stats()["running"] == 1)
    pair.process.kill()

    assert stream.result(timeout=60).endswith("data: [DONE]")
    gone, alive = psutil.wait_procs(workers, timeout=30)
    assert len(gone) == 2
    assert not alive
    assert not pair.listens()


def test_a_worker_that_is_asked_to_end_is_replaced_too(pair: LiveProxy) -> None:
    first = workers_of(pair)[0]
    first.terminate()
    first.terminate()  # as an init that signals every process of the service would
    eventually(lambda: ready_lines(pair) == 3, within_seconds=30)
    assert first not in workers_of(pair)


@pytest.mark.parametrize("count", ["2", "auto"])
def test_several_workers_without_redis_are_refused(tmp_path: Path, count: str) -> None:
    refused = serve("--workers", count, environment={"REDIS_URL": "", "DATA_DIR": str(tmp_path)})
    if count == "auto" and len(os.sched_getaffinity(0)) == 1:
        pytest.skip("one core: one worker")
    assert refused.returncode == 1
    assert "need a Redis" in refused.stderr
    assert "llm_proxy.E020" in refused.stderr


def test_a_port_in_use_is_said_in_a_sentence(pair: LiveProxy, redis_url: str, tmp_path: Path) -> None:
    """From any working directory: what lies there is not loaded."""
    (tmp_path / "structlog.py").write_text("raise SystemExit('loaded from the working directory')")
    refused = serve(
        "--workers",
        "2",
        "--bind",
        urlsplit(pair.url).netloc,
        environment={
            "REDIS_URL": redis_url,
            "DATABASE_URL": own_database_url(),
        },
        folder=tmp_path,
    )
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].startswith("CommandError: Cannot listen on 127.0.0.1:")
    assert "Traceback" not in refused.stderr


def test_a_restart_that_is_asked_for_during_the_start_does_not_end_it(
    redis_url: str, django_db_setup: None, transactional_db: None, tmp_path: Path
) -> None:
    environment = {
        "REDIS_URL": redis_url,
        "SPOOL_DIR": str(tmp_path / "spool"),
        "DATABASE_URL": own_database_url(),
    }
    log_file = tmp_path / "log"
    with log_file.open("w") as log:
        server = subprocess.Popen(
            [sys.executable, str(MANAGE), "serve", "--bind", "127.0.0.1:0", "--workers", "2"],
            env={**os.environ, **environment},
            stdout=log,
            stderr=log,
        )
    try:
        eventually(lambda: heeds_hangups(server.pid))
        while "LLM Proxy on" not in log_file.read_text():
            server.send_signal(signal.SIGHUP)
            assert server.poll() is None, log_file.read_text()
            time.sleep(0.1)
        server.terminate()
        assert server.wait(60) == 0, log_file.read_text()
    finally:
        if server.poll() is None:
            for child in psutil.Process(server.pid).children():
                child.kill()
            server.kill()
        server.wait()


def heeds_hangups(pid: int) -> bool:
    """Whether the process ignores SIGHUP, or does something of its own."""
    lines = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return bool((int(lines["SigIgn"], 16) | int(lines["SigCgt"], 16)) & 1 << (signal.SIGHUP - 1))


def serve(
    *arguments: str, environment: dict[str, str], folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(MANAGE), "serve", *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def workers_of(live: LiveProxy) -> list[psutil.Process]:
    return psutil.Process(live.process.pid).children()


def log_lines(live: LiveProxy) -> list[dict[str, object]]:
    return [json.loads(line) for line in live.log().splitlines() if line.startswith("{")]


def ready_lines(live: LiveProxy) -> int:
    return sum(line["event"] == "worker is ready" for line in log_lines(live))


def get_models(live: LiveProxy, plain: str) -> int:
    return httpx.get(f"{live.base_url}/models", headers={"authorization": f"Bearer {plain}"}).status_code


def a_stream(live: LiveProxy, plain: str, chunks: int = 20) -> Future[str]:
    """What a client of its own reads of a stream, 0.1 s a piece, to its end."""
    headers = {
        "authorization": f"Bearer {plain}",
        "x-fake-chunks": f"{chunks}",
        "x-fake-chunk-delay-ms": "100",
    }
    url = f"{live.base_url}/chat/completions"
    read = partial(httpx.post, url, json=STREAM, headers=headers, timeout=60)
    future: Future[str] = Future()

    def run() -> None:
        try:
            future.set_result(read().text.rstrip())
        except httpx.HTTPError as problem:
            future.set_exception(problem)

    Thread(target=run, daemon=True).start()
    return future

"""What a measurement has started, and the folder that it worked in, are gone with it."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from llm_proxy_site.processes import MANAGE
from tests.live import eventually

BENCH = (str(MANAGE), "bench")
COMMANDS = {
    "cases": (*BENCH, "--only", "json-1", "--seconds", "60"),
    "ledger": (*BENCH, "--ledger", "1000000"),
    "soak": ("-m", "llm_proxy_site.bench.soak"),
    "idle streams": ("-m", "llm_proxy_site.bench.idle_streams"),
}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("name", COMMANDS)
def test_an_interrupted_measurement_leaves_nothing(name: str, number: signal.Signals, tmp_path: Path) -> None:
    output = ["--output", str(tmp_path / "results" / "x.json")] if name == "cases" else []
    folder = tmp_path / "tmp"
    folder.mkdir()
    process = subprocess.Popen(
        ["env", f"TMPDIR={folder}", sys.executable, *COMMANDS[name], *output],
        cwd=MANAGE.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        started = eventually(lambda: _children(process, at_least=1 if name == "ledger" else 2))
        process.send_signal(number)
        _, complaints = process.communicate(timeout=60)
        assert process.returncode != 0
        _, alive = psutil.wait_procs(started, timeout=5)  # what was killed need not be gone at once
        assert alive == []
        assert list(folder.iterdir()) == [], complaints
    finally:
        for child in _children(process, at_least=0):
            child.kill()
        process.kill()
        process.communicate()


def _children(process: "subprocess.Popen[str]", *, at_least: int) -> list[psutil.Process]:
    try:
        found = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return found if len(found) >= at_least else []

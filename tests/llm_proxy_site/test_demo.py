"""`manage.py demo`, as a newcomer sees it: every line that it prints is run."""

import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from llm_proxy_site.management.commands.demo import _from_here
from llm_proxy_site.processes import MANAGE
from tests.live import eventually


def test_the_demo_prints_lines_that_work_and_ends_cleanly(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [sys.executable, str(MANAGE), "demo", "--bind", "127.0.0.1:0", "--data-dir", str(tmp_path / "demo")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        printed = _read_until(demo, "Ctrl-C ends the demo.")
        curl = subprocess.run(["bash", "-c", _between(printed, "curl ", "Or in Python")], capture_output=True)
        python = subprocess.run(
            [sys.executable, "-c", "from openai" + _between(printed, "from openai", "Ctrl-C")[11:]],
            capture_output=True,
            text=True,
        )
        url = _between(printed, "Admin site", "(").split()[-1]
        page = httpx.get(url, follow_redirects=True)
    finally:
        demo.terminate()

    assert b'"choices"' in curl.stdout
    assert python.stdout, python.stderr
    assert "LLM Proxy" in page.text
    assert demo.wait(30) == 0
    assert demo.stdout is not None
    demo.stdout.close()
    assert (tmp_path / "demo" / "llm-proxy.db").is_file()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://0.0.0.0:8000", "http://127.0.0.1:8000"),  # its admin site would refuse this name
        ("http://[::]:8000", "http://[::1]:8000"),
        ("http://10.0.0.1:8000", "http://10.0.0.1:8000"),
    ],
)
def test_on_every_address_it_shows_one_that_can_be_opened(url: str, shown: str) -> None:
    assert _from_here(url) == shown


def _read_until(demo: subprocess.Popen[str], last: str) -> str:
    lines: list[str] = []
    assert demo.stdout is not None
    reader = threading.Thread(target=lambda: lines.extend(iter(demo.stdout.readline, "")), daemon=True)
    reader.start()
    eventually(lambda: any(last in line for line in list(lines)) or demo.poll(), within_seconds=60)
    return "".join(lines)


def _between(text: str, start: str, end: str) -> str:
    begins = text.index(start)
    return text[begins : text.index(end, begins)]

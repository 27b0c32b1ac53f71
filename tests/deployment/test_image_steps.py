"""The image's own steps, in a folder: what it installs, started as it is started, to the first answer.

As root it is contained as an engine would do it: the first process of its own, by the user of the image, and
nothing can be written but /data and /tmp. As somebody else it is merely started.
"""

import faulthandler
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from llm_proxy_site.processes import running
from tests.deployment.dockerfile import USER, Image, stages
from tests.factories import UPSTREAM_KEY
from tests.live import eventually

CONTAINED = """
set -e
mount --make-rprivate /
mount --bind / /
mount --bind {root} {root}
mount -o remount,bind,ro {root}
mount -o remount,bind,ro /
for folder in {root}/data {root}/tmp; do mount --bind $folder $folder; mount -o remount,bind,rw $folder; done
mount -t proc proc /proc
cd {root}/app
caps=-all,+dac_read_search
become="--reuid {user} --regid {user} --clear-groups --no-new-privs"
exec setpriv $become --inh-caps=$caps --ambient-caps=$caps -- "$@"
"""
"""The one capability lets it read: the Python of a machine of tests may lie in root's own folder."""
FOR_EVERYBODY = "/var/tmp"  # noqa: S108 (where usually everybody may write)
NAMESPACES = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]


@cache
def can_contain() -> bool:
    tried = [*NAMESPACES, "mount", "--make-rprivate", "/"]
    return os.geteuid() == 0 and subprocess.run(tried, capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    root = Path(tempfile.mkdtemp(prefix="llm-proxy-image-"))
    root.chmod(0o755)
    # What bounds a test is for one that hangs; an installation ends by itself, late on a busy machine.
    faulthandler.cancel_dump_traceback_later()
    try:
        built = Image(root)
        built.build()
        yield built
    finally:
        subprocess.run(["rm", "-rf", root], check=True)


def started(image: Image, *command: str, **environment: str) -> subprocess.Popen[str]:
    script = CONTAINED.format(root=image.root, user=USER)
    before = [*NAMESPACES, "sh", "-c", script, "sh"] if can_contain() else []
    temporary = {
        "TMPDIR": str(image.root / "tmp"),
        # The tests leave out what pip would have compiled, and keep what is then compiled at the first start.
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(image.root / "tmp/bytecode"),
    }
    return subprocess.Popen(
        [*before, *command],
        cwd=image.root / "app",
        env={**image.environment, **temporary, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ran(image: Image, *arguments: str, stdin: str = "") -> str:
    process = started(image, *image.command(*arguments))
    out, err = process.communicate(stdin)
    assert process.returncode == 0, err
    return out


@contextmanager
def serving(image: Image, upstream_url: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    (command,) = stages()[-1].of("CMD")
    arguments = [argument.replace("0.0.0.0:8000", "127.0.0.1:0") for argument in json.loads(command)]
    process = started(image, *image.command(*arguments), UPSTREAM_BASE_URL=upstream_url)
    try:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        yield process, line.split()[-1]
    finally:
        process.kill()
        process.communicate()


def first_process(process: subprocess.Popen[str]) -> psutil.Process:
    """Of the container."""
    outer = psutil.Process(process.pid)
    return eventually(outer.children)[0] if can_contain() else outer


def test_from_the_steps_to_the_first_answer_and_to_a_graceful_end(image: Image) -> None:
    assert "Ready: " in ran(image, "setup", "--without-admin")
    ran(image, "create_project", "web", "--upstream-key", "-", stdin=UPSTREAM_KEY)
    token = json.loads(ran(image, "create_token", "web", "--name", "first", "--json"))["token"]
    before = {path: path.stat().st_mtime_ns for path in (image.root / "app").rglob("*")}

    upstream = ("-m", "llm_proxy_site.fake_upstream", "--bind", "127.0.0.1:0")
    with running(*upstream) as (_, line), serving(image, line.split()[-1]) as (process, url):
        answer = httpx.post(
            f"{url}/v1/chat/completions",
            json={"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]},
            headers={"Authorization": f"Bearer {token}"},
        )
        assert answer.json()["choices"][0]["message"]["content"]
        assert httpx.get(f"{url}/static/admin/css/base.css").status_code == 200
        assert is_healthy(image, url)
        assert is_healthy(image, url, http_proxy="http://127.0.0.1:9")
        assert not is_healthy(image, url, path="/v1/models")
        first_process(process).send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert not is_healthy(image, url)

    assert {path: path.stat().st_mtime_ns for path in (image.root / "app").rglob("*")} == before


def test_it_ends_while_it_starts(image: Image) -> None:
    """The first process of a container gets no signal that it does not handle."""
    if not can_contain():
        pytest.skip("only root can contain a process")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgres://nobody@127.0.0.1:{silent.getsockname()[1]}/nothing"
        process = started(image, *image.command("serve", "--bind", "127.0.0.1:0"), DATABASE_URL=url)
        try:
            eventually(lambda: handles(first_process(process), signal.SIGTERM))
            first_process(process).send_signal(signal.SIGTERM)
            assert process.wait(3) == 128 + signal.SIGTERM
        finally:
            process.kill()
            process.communicate()


def handles(process: psutil.Process, number: signal.Signals) -> bool:
    (caught,) = re.findall(
        r"^SigCgt:\s+(\w+)$", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE
    )
    return bool(int(caught, 16) >> (number - 1) & 1)


def is_healthy(image: Image, url: str, path: str = "/live", **environment: str) -> bool:
    (check,) = stages()[-1].of("HEALTHCHECK")
    here = check.replace("127.0.0.1:8000", urlsplit(url).netloc).replace("'/live'", f"'{path}'")
    process = started(image, *json.loads(here.partition("CMD ")[2]), **environment)
    process.communicate()
    return process.returncode == 0


def test_nothing_can_be_written_but_data_and_tmp(image: Image) -> None:
    if not can_contain():
        pytest.skip("only root can contain a process")
    script = (
        "import pathlib, sys\n"
        "for folder in sys.argv[1:]:\n"
        "    try: (pathlib.Path(folder) / 'x').touch()\n"
        "    except OSError as problem: print(folder, problem.strerror)\n"
    )
    folders = [f"{image.root}/{name}" for name in ("app", "venv", "data", "tmp")] + [FOR_EVERYBODY]
    process = started(image, "python", "-c", script, *folders)
    out, _ = process.communicate()

    refused = dict(re.findall(r"^(\S+) (.+)$", out, re.MULTILINE))
    assert set(refused) == {f"{image.root}/app", f"{image.root}/venv", FOR_EVERYBODY}

"""`python -m tests.newcomer`: the README's lines in an empty folder, by an ordinary user who has Python, make
and git. Fails where the first proxied answer comes too late, or where too much was fetched for it.
"""

import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from llm_proxy_site.processes import end_as_by_ctrl_c, running
from tests.postgres import free_port

ROOT = Path(__file__).resolve().parent.parent
MAX_SECONDS = 180
MAX_MEGABYTES = 50
"""Of the 60 that are promised, 10 are for the pages of the package index: 33 MB, compressed 8."""
GIVE_UP_SECONDS = 5 * MAX_SECONDS
POLL_SECONDS = 0.05
USER = "nobody"
"""In place of root."""
SHOWN = "127.0.0.1:8000"
"""Where the README serves, and something else may."""
INDEX = re.compile(r"PIP_\w+|SSL_CERT_\w+|\w+_proxy", re.IGNORECASE)
"""Variables that tell the machine's way to the package index."""
SH = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
CURL = re.compile(r"^curl \S+/v1/chat/completions .*\\\n.*$", re.MULTILINE)
TOKEN = re.compile(r"\bsk-wt-\w+")
PACKAGE = re.compile(r'"GET \S+\.(?:whl|tar\.gz) HTTP/[\d.]+" 200 (\d+)$', re.MULTILINE)
"""In pip's log, with its bytes."""


class NewcomerError(Exception):
    """A line did not do what the README says."""


@dataclass(frozen=True, slots=True)
class Newcomer:
    home: Path

    def own_all(self) -> None:
        if os.geteuid() == 0:
            account = pwd.getpwnam(USER)
            for path in (self.home, *self.home.rglob("*")):
                os.chown(path, account.pw_uid, account.pw_gid)

    def fetched_megabytes(self) -> tuple[float, float]:
        """Of the repository, of packages."""
        packs = self.home.glob("llm-proxy/.git/objects/pack/*")
        packages = PACKAGE.findall((self.home / "pip.log").read_text())
        if not packages:
            raise NewcomerError("pip fetched nothing, so nothing is known.")
        return sum(pack.stat().st_size for pack in packs) / 1e6, sum(map(int, packages)) / 1e6

    @contextmanager
    def running(self, lines: str, name: str, **environment: str) -> Iterator["Typed"]:
        """What these lines for a shell do, until Ctrl-C."""
        log = self.home / f"{name}.log"
        account = pwd.getpwnam(USER) if os.geteuid() == 0 else None
        with log.open("w") as output:
            child = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", lines],
                cwd=self.home,
                env={
                    **{name: value for name, value in os.environ.items() if INDEX.fullmatch(name)},
                    "HOME": str(self.home),
                    "PIP_CACHE_DIR": str(self.home / "cache"),
                    "PATH": "/usr/local/bin:/usr/bin:/bin",
                    "PIP_LOG": str(self.home / "pip.log"),
                    **environment,
                },
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=account and account.pw_uid,
                group=account and account.pw_gid,
                extra_groups=[] if account else None,
                text=True,
            )
        try:
            yield Typed(child, log)
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGINT)
            assert child.stdin is not None
            child.stdin.close()
            child.wait()


@dataclass(frozen=True, slots=True)
class Typed:
    child: "subprocess.Popen[str]"
    log: Path

    def answer(self, line: str) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(f"{line}\n")
        self.child.stdin.flush()

    def wait_for(self, words: str) -> str:
        """All that was printed until then."""
        give_up = time.monotonic() + GIVE_UP_SECONDS
        while True:
            is_last_look = self.child.poll() is not None or time.monotonic() > give_up
            printed = self.log.read_text()
            if words in printed:
                return printed
            if is_last_look:
                raise NewcomerError(f"{words!r} did not come:\n{printed}")
            time.sleep(POLL_SECONDS)


def main() -> None:
    end_as_by_ctrl_c()
    with tempfile.TemporaryDirectory(prefix="llm-proxy-newcomer-") as folder:
        newcomer = Newcomer(Path(folder))
        repository = newcomer.home / "origin.git"
        (newcomer.home / ".gitconfig").write_text("[safe]\n\tdirectory = *\n")
        subprocess.run(
            ["git", "clone", "--quiet", "--bare", ROOT, repository],
            env={**os.environ, "HOME": folder},
            check=True,
        )
        newcomer.own_all()
        seconds = try_it(newcomer, repository.as_uri())
        cloned, fetched = newcomer.fetched_megabytes()
        sys.stdout.write(
            f"First proxied answer after {seconds:.0f} s (at most {MAX_SECONDS}). Fetched: "
            f"{cloned:.1f} MB of repository, {fetched:.1f} MB of packages (at most {MAX_MEGABYTES}).\n"
        )
        sys.stdout.write(f"An installation of one's own: {run_it(newcomer):.0f} s to its first answer.\n")
        if seconds > MAX_SECONDS or cloned + fetched > MAX_MEGABYTES:
            raise NewcomerError("That is too much for a newcomer.")


def try_it(newcomer: Newcomer, repository: str) -> float:
    """Seconds until the demo's first answer."""
    began = time.monotonic()
    lines = lines_with("make demo").replace("<this repository>", repository)
    with newcomer.running(f"{lines} UV= BIND=127.0.0.1:{free_port()}", "demo") as demo:
        shown = CURL.search(demo.wait_for("Ctrl-C ends the demo."))
        assert shown is not None
        with newcomer.running(shown[0], "curl") as curl:
            curl.wait_for('"choices"')
        return time.monotonic() - began


def run_it(newcomer: Newcomer) -> float:
    """Seconds until the first answer of a proxy that is set up line by line."""
    began = time.monotonic()
    url = f"http://127.0.0.1:{free_port()}"
    lines = f"cd llm-proxy\n{lines_with('make setup').replace(SHOWN, url.removeprefix('http://'))}"
    with (
        running("-m", "llm_proxy_site.fake_upstream", "--bind", "127.0.0.1:0") as (_, upstream),
        newcomer.running(lines, "own", UPSTREAM_BASE_URL=upstream.split()[-1]) as own,
    ):
        own.answer("sk-openai")
        token = TOKEN.search(own.wait_for(url))
        assert token is not None
        body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}
        headers = {"Authorization": f"Bearer {token[0]}"}
        answer = httpx.post(f"{url}/v1/chat/completions", json=body, headers=headers)
        if answer.status_code != httpx.codes.OK:
            raise NewcomerError(f"{answer.status_code} {answer.text}")
        return time.monotonic() - began


def lines_with(command: str) -> str:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return next(block.strip() for block in SH.findall(readme) if command in block)


if __name__ == "__main__":
    if any(shutil.which(program) is None for program in ("git", "make", "curl")):
        sys.exit("It needs git, make and curl.")
    try:
        main()
    except NewcomerError as problem:
        sys.exit(str(problem))

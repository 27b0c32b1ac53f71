"""A pseudo-terminal with one of our commands at it, as a person would see it."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from llm_proxy_site.processes import MANAGE

WITHIN_SECONDS = 30.0
BETWEEN_INTERRUPTS_SECONDS = 1.0
"""Nobody presses Ctrl-C faster for long."""


@dataclass
class Terminal:
    descriptor: int
    process: subprocess.Popen[bytes]
    seen: str = ""

    def wait_for(self, text: str, *, interrupting: bool = False) -> str:
        """What has been shown up to there; only what comes later is looked at next. `interrupting`: by
        Ctrl-C, again and again, for one that comes before the program waits for a line may be noticed late.
        """
        started_at, interrupts = time.monotonic(), 0
        while text not in self.seen:
            passed = time.monotonic() - started_at
            assert passed < WITHIN_SECONDS, f"{text!r} is not in {self.seen!r}"
            if interrupting and passed >= interrupts * BETWEEN_INTERRUPTS_SECONDS:
                os.kill(self.process.pid, signal.SIGINT)
                interrupts += 1
            self._read()
        before, _, self.seen = self.seen.partition(text)
        return before

    def type(self, text: str) -> None:
        os.write(self.descriptor, text.encode())

    def leave(self, text: str) -> int:
        """Types this until the program ends, for an interrupt may have taken a line. Its exit code."""
        deadline = time.monotonic() + WITHIN_SECONDS
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it does not end; last seen: {self.seen!r}"
            self.type(text)
            self._read()
        return self.process.returncode

    def rest(self) -> str:
        """All that is shown until the program ends."""
        while self._read():
            pass
        return self.seen

    def _read(self) -> bool:
        """False at the end."""
        if not select.select([self.descriptor], [], [], 0.5)[0]:
            return self.process.poll() is None
        try:
            self.seen += os.read(self.descriptor, 65536).decode()
        except OSError:  # the other side is closed
            return False
        return True


@contextmanager
def at_terminal(*arguments: str, environment: Mapping[str, str], columns: int = 200) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(MANAGE), *arguments],
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns), **environment},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=_heed_interrupts,
    )
    os.close(theirs)
    try:
        yield Terminal(ours, process)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _heed_interrupts() -> None:
    """Whoever runs the tests in the background may have it ignored, and that is inherited."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)

"""Child processes: started, awaited by the line that they print, ended by their process id."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

MANAGE = Path(__file__).resolve().parent.parent / "manage.py"
STOP_SECONDS = 40


class ChildFailedError(Exception):
    """A child ended before it was ready; the message is its last words."""


def end_as_by_ctrl_c() -> None:
    """SIGTERM, and a terminal that goes away, raise KeyboardInterrupt too: so what was started here is ended.
    What nohup has switched off stays off.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def manage(*arguments: str, environment: dict[str, str], stdin: str | None = None) -> str:
    """Run one of our commands to its end. Its standard output. Raises ChildFailedError."""
    done = subprocess.run(  # noqa: S603 (our own interpreter and file)
        [sys.executable, "-P", str(MANAGE), *arguments],
        env=_with(environment),
        input=stdin,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise ChildFailedError(done.stderr.strip())
    return done.stdout


@contextmanager
def running(
    *arguments: str,
    environment: dict[str, str] | None = None,
    stderr: IO[str] | int | None = None,
    stdin: int | None = None,
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A Python child that serves: the process, and the first line that it prints. Ended by SIGTERM.

    `arguments` follow the interpreter. Raises ChildFailedError if it prints nothing and ends.
    """
    child = subprocess.Popen(  # noqa: S603 (our own interpreter)
        [sys.executable, "-P", *arguments],
        env=_with(environment or {}),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )
    try:
        assert child.stdout is not None
        line = child.stdout.readline().strip()
        if not line:
            raise ChildFailedError(f"{' '.join(arguments)} ended with exit code {child.wait()}")
        yield child, line
    finally:
        _stop(child)


@contextmanager
def running_program(
    command: Sequence[str], *, folder: Path, log: IO[str], environment: dict[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """A program of others, in this folder. All that it prints goes to `log`. Ended by SIGTERM."""
    child = subprocess.Popen(  # noqa: S603 (the caller's own choice)
        command, cwd=folder, env=_with(environment), stdout=log, stderr=log, text=True
    )
    try:
        yield child
    finally:
        _stop(child)


def _stop(child: subprocess.Popen[str]) -> None:
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    for stream in (child.stdin, child.stdout):
        if stream is not None:
            stream.close()


def _with(environment: dict[str, str]) -> dict[str, str]:
    """Ours, handed on and not read. `-m` finds our packages wherever the parent was started (and `-P` nothing
    that lies there), and the line that we wait for comes at once.
    """
    ours = {"PYTHONPATH": str(MANAGE.parent), "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **ours, **environment}  # noqa: TID251

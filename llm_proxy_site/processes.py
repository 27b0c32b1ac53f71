"""Child processes: started, awaited by the line that they print, ended by their process id."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, Any

MANAGE = Path(__file__).resolve().parent.parent / "manage.py"
STOP_SECONDS = 40


class ChildFailedError(Exception):
    """A child ended before it was ready; the message is its last words."""


class _Interruption:
    """Signals that raise KeyboardInterrupt, but not while a child is being made: one that nobody knows of yet
    would not be ended.
    """

    def __init__(self) -> None:
        self._waits = False
        self._has_come = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if not self._waits:
            raise KeyboardInterrupt
        self._has_come = True

    @contextmanager
    def put_off(self) -> Iterator[None]:
        self._waits = True
        try:
            yield
        finally:
            self._waits = False
            if self._has_come:
                self._has_come = False
                raise KeyboardInterrupt


_interruption = _Interruption()


def end_as_by_ctrl_c() -> None:
    """SIGTERM, and a terminal that goes away, raise KeyboardInterrupt, as Ctrl-C does: so what was started
    here is ended. What nohup has switched off stays off.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interruption)


def manage(*arguments: str, environment: dict[str, str], stdin: str | None = None) -> str:
    """Run one of our commands to its end. Its standard output. Raises ChildFailedError."""
    return output_of(str(MANAGE), *arguments, environment=environment, stdin=stdin)


def output_of(*arguments: str, environment: dict[str, str] | None = None, stdin: str | None = None) -> str:
    """Run a Python child to its end. Its standard output. `arguments` follow the interpreter. Raises
    ChildFailedError with what it has complained of.
    """
    with _child(
        [sys.executable, "-P", *arguments],
        env=_with(environment or {}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        printed, complaints = child.communicate(stdin)
    if child.returncode:
        raise ChildFailedError(complaints.strip())
    return printed


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
    with _child(
        [sys.executable, "-P", *arguments],
        env=_with(environment or {}),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=stderr,
    ) as child:
        assert child.stdout is not None
        line = child.stdout.readline().strip()
        if not line:
            raise ChildFailedError(f"{' '.join(arguments)} ended with exit code {child.wait()}")
        yield child, line


@contextmanager
def running_program(
    command: Sequence[str], *, folder: Path, log: IO[str], environment: dict[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """A program of others, in this folder. All that it prints goes to `log`. Ended by SIGTERM."""
    with _child(command, cwd=folder, env=_with(environment), stdout=log, stderr=log) as child:
        yield child


@contextmanager
def _child(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Stopped at the end, if it has not ended."""
    child: subprocess.Popen[str] | None = None
    try:
        with _interruption.put_off():
            child = subprocess.Popen(command, text=True, **options)  # noqa: S603 (our own, or the caller's choice)
        yield child
    finally:
        if child is not None:
            _stop(child)


def _stop(child: subprocess.Popen[str]) -> None:
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    for stream in (child.stdin, child.stdout, child.stderr):
        if stream is not None:
            stream.close()


def _with(environment: dict[str, str]) -> dict[str, str]:
    """Ours, handed on and not read. `-m` finds our packages wherever the parent was started (and `-P` nothing
    that lies there), and the line that we wait for comes at once.
    """
    ours = {"PYTHONPATH": str(MANAGE.parent), "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **ours, **environment}  # noqa: TID251

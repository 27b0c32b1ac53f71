"""The program of a peer: found, asked, and served by."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from llm_proxy_site.bench.targets import Target, wait_for_answer
from llm_proxy_site.processes import ChildFailedError, running_program

LAST_WORDS = 1000


@dataclass(frozen=True, slots=True)
class Program:
    command: tuple[str, ...]
    folder: Path
    """Where it runs, and its output is kept."""
    environment: dict[str, str]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def output_of(*command: str) -> str | None:
    """All that it prints; None if it is not there, or fails."""
    try:
        done = subprocess.run(  # noqa: S603 (a peer's own program)
            command, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return (done.stdout + done.stderr).strip()


@contextmanager
def serving(program: Program, target: Target) -> Iterator[list[Target]]:
    """The target with its process, once it answers. Raises ChildFailedError."""
    log_file = program.folder / f"{target.name}.log"
    with (
        log_file.open("w") as log,
        running_program(
            program.command, folder=program.folder, log=log, environment=program.environment
        ) as child,
    ):
        try:
            wait_for_answer(target)
        except ChildFailedError as problem:
            raise ChildFailedError(f"{problem} {log_file.read_text()[-LAST_WORDS:]}") from None
        yield [replace(target, pid=child.pid)]

"""Runs a database's own programs: no secrets on their command lines, sentences for what goes wrong."""

import os
import shutil
import subprocess
from collections.abc import Callable
from typing import IO, Any

from llm_proxy_site.backups.errors import BackupError

LOOK_SECONDS = 0.1


def find_program(*names: str) -> str:
    """The first of these that is installed. Raises BackupError."""
    for name in names:
        path = shutil.which(name)
        if path is not None:
            return path
    raise BackupError(f"{names[0]} is not installed: install the database's client programs on this machine.")


def run_program(
    *arguments: str,
    environment: dict[str, str] | None = None,
    stdin: IO[Any] | None = None,
    stdout: IO[Any] | None = None,
    is_stopping: Callable[[], bool] = lambda: False,
) -> str:
    """What it prints, unless that goes to a file. Raises BackupError."""
    child = subprocess.Popen(  # noqa: S603 (a program that we have found)
        arguments,
        env={**os.environ, **(environment or {})},  # noqa: TID251 (handed on, not read)
        stdin=stdin or subprocess.DEVNULL,
        stdout=stdout or subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        printed, complaints = _await(child, is_stopping)
    except BaseException:
        child.kill()  # it must not go on beside what is done about this
        child.communicate()
        raise
    if child.returncode:
        raise BackupError(f"{os.path.basename(arguments[0])} failed: {_last_words(complaints)}")  # noqa: PTH119
    return printed or ""


def _await(child: subprocess.Popen[str], is_stopping: Callable[[], bool]) -> tuple[str, str]:
    """What it prints, and what it complains of."""
    while True:
        try:
            return child.communicate(timeout=LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            if is_stopping():
                raise BackupError("The backup was stopped.") from None


def _last_words(complaints: str) -> str:
    return " ".join(complaints.split())[-500:] or "it does not say why."

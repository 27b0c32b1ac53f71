"""A PostgreSQL of a test's own, to be stopped and started. It does not run as root: it has its own user."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

USER = "postgres"


class OwnPostgres:
    def __init__(self, directory: Path, port: int) -> None:
        self._directory = directory
        self._port = port
        self.url = f"postgres://{USER}@127.0.0.1:{port}/{USER}"

    def start(self) -> None:
        options = f"-p {self._port} -h 127.0.0.1 -k {self._directory} -c fsync=off"
        log = str(self._directory / "log")
        self._run("pg_ctl", "-D", str(self._data), "-w", "-l", log, "-o", options, "start")

    def stop(self) -> None:
        """At once: connections break."""
        self._run("pg_ctl", "-D", str(self._data), "-w", "-m", "fast", "stop")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It takes connections, and says nothing."""
        first = psutil.Process(int((self._data / "postmaster.pid").read_text().split()[0]))
        processes = [first, *first.children(recursive=True)]
        for process in processes:
            process.suspend()
        try:
            yield
        finally:
            for process in processes:
                process.resume()

    def init(self) -> None:
        self._run("initdb", "-D", str(self._data), "-U", USER, "-A", "trust", "--no-sync")

    @property
    def _data(self) -> Path:
        return self._directory / "data"

    def _run(self, program: str, *arguments: str) -> None:
        command = [program, *arguments]
        if os.geteuid() == 0:
            command = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", *command]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self._directory, timeout=120)


def is_there() -> bool:
    """Whether one can be started."""
    programs = ["initdb", "pg_ctl"]
    if os.geteuid() == 0:
        programs.append("setpriv")
        if USER not in {user.pw_name for user in pwd.getpwall()}:
            return False
    return all(map(shutil.which, programs))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@contextmanager
def own_postgres() -> Iterator[OwnPostgres]:
    directory = Path(tempfile.mkdtemp(prefix="llm-proxy-postgres-"))
    if os.geteuid() == 0:
        shutil.chown(directory, USER, USER)
    server = OwnPostgres(directory, free_port())
    try:
        server.init()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(directory)

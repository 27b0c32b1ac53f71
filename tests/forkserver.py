"""A process that has imported what our programs import, and forks for each program that a test starts.

Starting Python and importing Django, Twisted and the rest takes longer than most tests. Only libraries are
imported beforehand: nothing of ours, for it reads its settings from its environment. What comes of the fork
is a process like any other: its own number, environment, folder, streams and end, and its parent is whoever
asked (tests/forked.py).
"""

import array
import atexit
import gc
import importlib
import io
import json
import os
import runpy
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import coverage

ROOT = Path(__file__).resolve().parent.parent
MOST_BYTES = 1024 * 1024
"""Of a request."""
_OWN = {path.name for path in ROOT.iterdir() if path.is_dir()} | {"__main__", "__mp_main__", "manage"}
_NOT_BEFORE = (
    "django.contrib",
    "django_otp",
    "ninja",
    "daphne.server",
    "daphne.management",
    "daphne.apps",
    "twisted.internet.reactor",
)
"""What reads settings or opens an event loop while it is imported."""
_SCOUT = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "llm_proxy_site.settings"
import django
django.setup()
import coverage.control, coverage.inorout, coverage.sqldata, coverage.tomlconfig
import llm_proxy_site.urls, llm_proxy_site.asgi
import llm_proxy_site.fake_upstream.__main__, llm_proxy_site.server.daphne.server
import llm_proxy_site.server.uvicorn.server
import genai_prices.data
print("\\n".join(sys.modules))
"""


def main() -> None:
    connection = socket.socket(fileno=os.dup(0))
    _import_libraries()
    gc.freeze()  # nothing of this is looked at again, nor copied for it
    while True:
        request, streams = _received(connection)
        if request is None:
            return
        first = os.fork()
        if first == 0:
            second = os.fork()
            if second == 0:
                connection.close()
                _become(request, streams)
                return
            connection.send(str(second).encode())
            os._exit(0)
        os.waitpid(first, 0)
        connection.send(b".")
        for stream in streams:
            os.close(stream)


def _import_libraries() -> None:
    scout = subprocess.run([sys.executable, "-P", "-c", _SCOUT], capture_output=True, text=True, check=True)
    for name in scout.stdout.split():
        if name.partition(".")[0] not in _OWN and not name.startswith(_NOT_BEFORE):
            with suppress(Exception):  # those that need settings
                importlib.import_module(name)
    assert "twisted.internet.reactor" not in sys.modules


def _received(connection: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """A request and the three streams that come with it; None: nobody will ask any more."""
    data, ancillary, _, _ = connection.recvmsg(MOST_BYTES, socket.CMSG_SPACE(3 * array.array("i").itemsize))
    streams = array.array("i")
    for _, _, descriptors in ancillary:
        streams.frombytes(descriptors)
    return (json.loads(data) if data else None), list(streams)


def _become(request: dict[str, Any], streams: list[int]) -> None:
    """Be the program that is asked for, to its end."""
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 (a descriptor)
    sys.stdout = _text(1, "strict")
    sys.stderr = _text(2, "backslashreplace")
    if os.environ.get("COVERAGE_PROCESS_CONFIG"):
        coverage.process_startup()
    sys.argv = request["arguments"]
    try:
        if sys.argv[0] == "-m":
            sys.argv = sys.argv[1:]
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        _leave(end.code or 0)
    _leave(0)


def _leave(code: int) -> None:
    """As the interpreter does, but for taking all apart that was imported: it takes as long as a command."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _text(number: int, errors: str) -> io.TextIOWrapper:
    raw = open(number, "wb", buffering=0, closefd=False)  # noqa: SIM115 (a descriptor)
    return io.TextIOWrapper(raw, encoding="utf-8", errors=errors, write_through=True)


if __name__ == "__main__":
    main()

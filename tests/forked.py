"""`subprocess.Popen` for tests: our own programs are forked off (tests/forkserver.py), not started anew."""

import array
import ctypes
import inspect
import json
import os
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from llm_proxy_site.processes import MANAGE
from tests.forkserver import MOST_BYTES

_PR_SET_CHILD_SUBREAPER = 36
_PARAMETERS = inspect.signature(subprocess.Popen._execute_child)  # type: ignore[attr-defined]
_NOT_FORKED = ("executable", "preexec_fn", "pass_fds", "start_new_session")
_PIPES = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")


class Popen(subprocess.Popen[Any]):
    """Of `python manage.py …` and `python -m our.module …` without more; all else is started as ever."""

    def _execute_child(self, *arguments: Any) -> None:
        asked = _PARAMETERS.bind(self, *arguments).arguments
        program = _program(asked["args"])
        if program is None or any(asked[name] for name in _NOT_FORKED):
            super()._execute_child(*arguments)  # type: ignore[misc]
            return
        request = {
            "arguments": program,
            "environment": dict(os.environ if asked["env"] is None else asked["env"]),
            "folder": os.fspath(asked["cwd"] or Path.cwd()),
        }
        streams = [asked["p2cread"], asked["c2pwrite"], asked["errwrite"]]  # the child's ends
        self.pid = _server().fork(request, [own if own >= 0 else i for i, own in enumerate(streams)])
        self._child_created = True
        self._close_pipe_fds(*(asked[name] for name in _PIPES))  # type: ignore[attr-defined]


def _program(args: Any) -> list[str] | None:
    """What comes after the interpreter, if that is ours to fork."""
    if isinstance(args, str | bytes | os.PathLike) or [*args][:1] != [sys.executable]:
        return None
    program = [os.fspath(argument) for argument in [*args][1:]]
    if program[:1] == ["-P"]:
        program.pop(0)
    is_module = program[:1] == ["-m"] and program[1].startswith("llm_proxy_site.")
    return program if is_module or program[:1] == [str(MANAGE)] else None


class _Server:
    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MOST_BYTES)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        environment |= {"PYTHONPATH": str(MANAGE.parent)}
        self._process = _ordinary(
            [sys.executable, "-P", "-m", "tests.forkserver"],
            stdin=theirs,
            stdout=subprocess.DEVNULL,
            env=environment,
            cwd=MANAGE.parent,
        )
        theirs.close()

    def fork(self, request: dict[str, Any], streams: list[int]) -> int:
        """The number of a child of ours."""
        _adopt(True)  # its parent there ends at once: it is ours then
        try:
            descriptors = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", streams))]
            self._socket.sendmsg([json.dumps(request).encode()], descriptors)
            number = int(self._socket.recv(100))
            assert self._socket.recv(100) == b"."
        finally:
            _adopt(False)
        return number


_ordinary = subprocess.Popen
_server = cache(_Server)
_libc = ctypes.CDLL(None)


def _adopt(is_wanted: bool) -> None:
    """Whether orphans among our descendants become our children."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, int(is_wanted), 0, 0, 0)


def fork_our_programs() -> None:
    """From here on, in this process."""
    if sys.platform == "linux":
        subprocess.Popen = Popen  # type: ignore[misc]

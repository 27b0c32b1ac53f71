"""`python manage.py …` in a shell, without starting Python anew: a small program named `python` hands its
arguments, environment and streams to the tests, which fork (tests/forked.py), and ends as that has ended.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from llm_proxy_site.processes import MANAGE

SHIM = """#!{python} -IS
import json, os, socket, sys
if sys.argv[1:2] != ["manage.py"]:
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
asked = {{"arguments": sys.argv[2:], "environment": dict(os.environ), "folder": os.getcwd()}}
with socket.socket(socket.AF_UNIX) as relay:
    relay.connect({address!r})
    socket.send_fds(relay, [json.dumps(asked).encode()], [0, 1, 2])
    relay.shutdown(socket.SHUT_WR)
    sys.exit(int(relay.recv(16)))
"""


@contextmanager
def relaying(folder: Path) -> Iterator[Path]:
    """What PATH has to begin with."""
    address = folder / "relay"
    shim = folder / "bin" / "python"
    shim.parent.mkdir()
    shim.write_text(SHIM.format(python=sys.executable, address=str(address)), encoding="utf-8")
    shim.chmod(0o700)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(address))
        listening.listen()
        thread = Thread(target=_serve, args=(listening,))
        thread.start()
        try:
            yield shim.parent
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(listening: socket.socket) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        with connection:
            data, streams, _, _ = socket.recv_fds(connection, 65536, 3)
            while part := connection.recv(65536):
                data += part
            asked = json.loads(data)
            done = subprocess.Popen(
                [sys.executable, str(MANAGE), *asked["arguments"]],
                stdin=streams[0],
                stdout=streams[1],
                stderr=streams[2],
                env=asked["environment"],
                cwd=asked["folder"],
            )
            for stream in streams:
                os.close(stream)
            connection.send(str(done.wait()).encode())

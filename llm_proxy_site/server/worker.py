"""A worker, as the supervisor sees it: a child process with the shared socket and a line to talk on."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

from llm_proxy_site.server.orders import Grace, Order, read_ready

READY_SECONDS = 120.0
"""How long a worker may take to start."""
STOP_SECONDS = 60.0
"""What a worker may take to end beyond its grace: it writes the ledger."""


class Worker:
    def __init__(
        self,
        number: int,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.number = number
        self.pid = process.pid
        self.grace: Grace | None = None
        """None until it is ready."""
        self._process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(
        cls, number: int, command: list[str], listening: socket.socket, counts_descriptor: int
    ) -> "Worker":
        """`command` gets the worker's number and its three descriptors as options."""
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        with theirs, _closed_on_failure(writer):
            process = await asyncio.create_subprocess_exec(
                *command,
                f"--worker={number}",
                f"--listening-descriptor={listening.fileno()}",
                f"--supervisor-descriptor={theirs.fileno()}",
                f"--counts-descriptor={counts_descriptor}",
                pass_fds=(listening.fileno(), theirs.fileno(), counts_descriptor),
                process_group=0,  # a Ctrl-C is for the supervisor, which tells its workers
            )
        return cls(number, process, reader, writer)

    async def becomes_ready(self) -> bool:
        """Waits until it accepts connections; False if it ends or takes too long (then it is killed)."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                self.grace = read_ready(await self._reader.readline())
        except (TimeoutError, OSError):
            self.kill()
        return self.grace is not None

    def tell(self, order: Order) -> None:
        with contextlib.suppress(OSError):
            self._writer.write(f"{order}\n".encode())

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def ended(self) -> int:
        """Its exit code; that of a process which was killed is the signal's number, negative."""
        code = await self._process.wait()
        self._writer.close()
        return code

    async def ends_within(self, seconds: float) -> int:
        """As `ended`; after so long it is killed."""
        try:
            async with asyncio.timeout(seconds):
                return await self.ended()
        except TimeoutError:
            self.kill()
            return await self.ended()


@contextlib.contextmanager
def _closed_on_failure(writer: asyncio.StreamWriter) -> Iterator[None]:
    try:
        yield
    except BaseException:  # whoever opened it closes it
        writer.close()
        raise

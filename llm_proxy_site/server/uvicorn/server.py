"""uvicorn's protocol, with what it lacks, on uvloop: a strict reader, clients' clocks, and a graceful end."""

import asyncio
import socket
from typing import Any

import structlog
import uvloop
from uvicorn.config import Config
from uvicorn.server import ServerState

from llm_proxy_site.addresses import Address
from llm_proxy_site.server.connections import LOOK_SECONDS, MAX_ACCEPTS
from llm_proxy_site.server.service import Duties, Service, calm_the_collector
from llm_proxy_site.server.supervisor import listen
from llm_proxy_site.server.uvicorn.connection import UvicornConnection
from llm_proxy_site.server.uvicorn.listening import AcceptingSocket

log = structlog.get_logger("server")


class ProxyServer(Service):
    def __init__(self, application: Any, duties: Duties, bind: Address) -> None:
        super().__init__(duties)
        self.application = application
        self._bind = bind
        self._loop = uvloop.new_event_loop()
        self._listener: AcceptingSocket | None = None
        self._opening: set[asyncio.Task[None]] = set()
        self.state = ServerState()
        self.config = Config(
            application,
            interface="asgi3",
            http=UvicornConnection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
        )
        self.config.load()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def run(self) -> None:
        asyncio.set_event_loop(self._loop)
        calm_the_collector()
        self._loop.call_soon(self._begin)
        self._loop.run_forever()

    def stop(self) -> None:
        self._loop.stop()

    def stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()

    def _begin(self) -> None:
        """Once the loop runs: what a signal says to one of uvloop's that does not run yet is lost."""
        self.take_signals()  # before anybody is told that we are ready for them
        self._loop.call_soon(self.duties.on_start)
        self._loop.call_later(LOOK_SECONDS, self._look)
        self._listen()

    def _look(self) -> None:
        self._loop.call_later(LOOK_SECONDS, self._look)  # first: whatever happens, it goes on
        self.clients.look()

    def _listen(self) -> None:
        supervision = self.duties.supervision
        try:
            if supervision is not None:
                listening = socket.socket(fileno=supervision.listening_descriptor)
            else:
                listening = listen(self._bind)
        except OSError as problem:
            self.failure = problem.strerror or str(problem)
            self.stop()
            return
        at_once = MAX_ACCEPTS if supervision is None else 1
        self._listener = AcceptingSocket(listening, self._loop, self._accepted, at_once=at_once)
        self._listener.accept()
        self.listens(*self._listener.address)

    def _accepted(self, connection: socket.socket, host: str) -> None:
        if self.clients.places.take(host):
            self._welcome(connection, host)
        else:
            # Those that have ended are told in the same turn of the loop, perhaps after this.
            self._loop.call_soon(self._look_again, connection, host)

    def _look_again(self, connection: socket.socket, host: str) -> None:
        if self.clients.places.take(host):
            self._welcome(connection, host)
        else:
            connection.close()

    def _welcome(self, connection: socket.socket, host: str) -> None:
        assert self._listener is not None
        self.clients.look_for_room(self._listener)
        task = self._loop.create_task(self._open(connection, host))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self, connection: socket.socket, host: str) -> None:
        protocol = UvicornConnection(self, host)
        try:
            await self._loop.connect_accepted_socket(lambda: protocol, connection)
        except OSError:  # it has gone already
            connection.close()
            if protocol.transport is None:
                self.clients.closed(protocol, host)

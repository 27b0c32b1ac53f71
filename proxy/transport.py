"""httpx's transport interface over aiohttp's connections, faithful to what it is given.

Repeated headers stay repeated, and the request target (the `target` extension) goes out as it came in: a
general-purpose transport may join the one and normalise the other. aiohttp's pool is also several times
faster than httpx's own under concurrency.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from functools import lru_cache, partial
from http import HTTPStatus
from typing import Any

import aiohttp
import httpx
from aiohttp.http import HttpProcessingError
from yarl import URL

from proxy.answering import AnsweringProtocol
from proxy.outgoing import Outgoing, WrongLength

MAX_HEADER_BYTES = 64 * 1024
MAX_DESTINATIONS = 1024

# The first match wins: the more special stand first.
_ERRORS: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (WrongLength, httpx.LocalProtocolError),
    (aiohttp.ServerTimeoutError, httpx.ReadTimeout),
    (aiohttp.ClientConnectorError, httpx.ConnectError),
    (aiohttp.InvalidURL, httpx.UnsupportedProtocol),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError),
    (HttpProcessingError, httpx.RemoteProtocolError),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError),
    (aiohttp.ClientError, httpx.ReadError),
    (TimeoutError, httpx.ConnectTimeout),
    (OSError, httpx.ReadError),
)
# Their texts have no URL in them.
_SAID = (
    WrongLength,
    aiohttp.ClientConnectorError,
    aiohttp.SocketTimeoutError,
    aiohttp.ServerDisconnectedError,
    aiohttp.ClientPayloadError,
    ConnectionError,
)


class Dialing:
    """A request on its way to a connection. The event loop keeps the context in which a connection was made
    as long as the connection: of the request there is nothing in it but this, which lets go of it.
    """

    __slots__ = ("_on_connected", "is_dialing")

    def __init__(self, on_connected: Callable[[], None] | None) -> None:
        self.is_dialing = False
        """Whether a connection that did not come in time was being made; else all of them were busy."""
        self._on_connected = on_connected

    @classmethod
    def begin(cls, on_connected: Callable[[], None] | None = None) -> "Dialing":
        """Of what the current task asks for next."""
        dialing = cls(on_connected)
        _dialing.set(dialing)
        return dialing

    def succeed(self) -> None:
        told = self._on_connected
        self.end()
        if told is not None:
            told()

    def end(self) -> None:
        """There is a connection, or there will be none."""
        self._on_connected = None


_dialing: ContextVar[Dialing] = ContextVar("dialing")


class AiohttpTransport(httpx.AsyncBaseTransport):
    """aiohttp's connections, parser and pool, without its client: that makes some thirty objects of each
    request which nobody here looks at.
    """

    def __init__(self, *, max_connections: int) -> None:
        self._max_connections = max_connections
        self._connector: Connector | None = None
        self._destinations: dict[tuple[bytes, bytes, int | None], aiohttp.ClientRequest] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The `on_connected` extension is called when there is a connection, before the request goes out.
        Nothing is sent twice.

        Raises httpx.TransportError; PoolTimeout where no connection was free, LocalProtocolError where the
        request's body is not as long as its head says.
        """
        timeout = request.extensions.get("timeout", {})
        read = timeout.get("read")
        first_byte = timeout.get("first_byte", read)
        dialing = Dialing.begin(request.extensions.get("on_connected"))
        outgoing = None
        try:
            outgoing = Outgoing(request, read, first_byte)
            connection = await self._connect(request.url, timeout.get("connect"))
            call = _Call(connection, outgoing)
            await call.run(request.method == "HEAD", first_byte)
        except (aiohttp.ClientError, HttpProcessingError, OSError) as problem:
            raise _named(problem, dialing, outgoing) from _without_frames(problem)
        finally:
            dialing.end()
        if first_byte != read or outgoing.is_under_way:
            call.wait_between_bytes(read)
        return httpx.Response(
            call.status, headers=call.headers, stream=_ResponseStream(call), request=request
        )

    async def aclose(self) -> None:
        if self._connector is not None:
            await self._connector.close()
            self._connector = None
            self._destinations.clear()

    async def _connect(self, url: httpx.URL, seconds: float | None) -> Any:
        if self._connector is None:
            self._connector = Connector(limit=self._max_connections)
        name = (url.raw_scheme, url.raw_host, url.port)
        destination = self._destinations.get(name) or self._note_destination(name, url)
        return await self._connector.connect(destination, [], _timeout(seconds))

    def _note_destination(
        self, name: tuple[bytes, bytes, int | None], url: httpx.URL
    ) -> aiohttp.ClientRequest:
        """What the pool wants to know of a connection. It is only read."""
        if url.scheme not in ("http", "https"):
            raise httpx.UnsupportedProtocol(f"There are no connections for {url.scheme}.")
        if len(self._destinations) >= MAX_DESTINATIONS:
            self._destinations.clear()
        origin = URL(f"{url.scheme}://{url.netloc.decode()}", encoded=True)
        destination = aiohttp.ClientRequest("GET", origin, loop=asyncio.get_running_loop())
        self._destinations[name] = destination
        return destination


class _Call:
    """One request and its answer on a connection, which goes back to the pool when both have ended."""

    __slots__ = ("_connection", "_outgoing", "_protocol", "content", "headers", "status")

    def __init__(self, connection: Any, outgoing: Outgoing) -> None:
        self._connection = connection
        self._protocol = connection.protocol
        self._outgoing = outgoing
        self.status = 0
        self.headers: tuple[tuple[bytes, bytes], ...] = ()
        self.content: aiohttp.StreamReader

    async def run(self, is_head: bool, seconds: float | None) -> None:
        """Until the head of the answer is there, which has so long from the request's last byte."""
        protocol = self._protocol
        protocol.is_idle = False
        try:
            protocol.set_response_params(
                skip_payload=is_head,
                read_until_eof=True,
                auto_decompress=False,
                read_timeout=seconds,
                max_line_size=MAX_HEADER_BYTES,
                max_field_size=MAX_HEADER_BYTES,
            )
            self._outgoing.begin(protocol)
            while True:
                message, self.content = await protocol.read()
                if message.code >= 200 or message.code == HTTPStatus.SWITCHING_PROTOCOLS:
                    break
                protocol.start_timeout()  # aiohttp has taken it for the answer, and stopped it
        except BaseException:
            self.close()
            raise
        self.status, self.headers = message.code, message.raw_headers
        self._outgoing.answered()
        self.content.on_eof(self._end)

    def wait_between_bytes(self, seconds: float | None) -> None:
        """From here on the time between two pieces counts. Without a connection the answer is there."""
        if self._connection is not None:
            self._protocol.read_timeout = seconds
            self._protocol.start_timeout()

    def close(self) -> None:
        """No more is read of the answer: the connection can only be kept if it has ended."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._outgoing.stop()
            connection.close()

    def _end(self) -> None:
        """The answer has. A connection on which the request has not can serve no other."""
        if self._protocol.writing_paused or not self._outgoing.is_whole:
            self.close()
            return
        connection, self._connection = self._connection, None
        if connection is not None:
            self._protocol.is_idle = True
            connection.release()


class Connector(aiohttp.TCPConnector):
    def __init__(self, *, limit: int) -> None:
        super().__init__(limit=limit)
        self._factory: Any = partial(AnsweringProtocol, loop=asyncio.get_running_loop())

    async def connect(self, *arguments: Any, **options: Any) -> Any:
        connection = await super().connect(*arguments, **options)
        _dialing.get().succeed()
        return connection

    async def _create_connection(self, *arguments: Any, **options: Any) -> Any:
        _dialing.get().is_dialing = True
        return await super()._create_connection(*arguments, **options)


class _ResponseStream(httpx.AsyncByteStream):
    def __init__(self, call: _Call) -> None:
        self._call = call

    # Not a generator: one that is left before its end costs a task to be closed.
    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await self._call.content.readany()
        except (aiohttp.ClientError, HttpProcessingError, ConnectionError) as problem:
            raise _mapped(problem) from _without_frames(problem)
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        self._call.close()


@lru_cache(maxsize=256)
def _timeout(seconds: float | None) -> aiohttp.ClientTimeout:
    # `connect` bounds the wait for a free connection too.
    return aiohttp.ClientTimeout(total=None, connect=seconds, sock_connect=seconds)


def _named(problem: Exception, dialing: Dialing, outgoing: Outgoing | None) -> httpx.TransportError:
    """As `_mapped` says, and which wait has been too long."""
    error = _mapped(problem)
    if isinstance(error, httpx.ConnectTimeout) and not dialing.is_dialing:
        return httpx.PoolTimeout(str(error))
    if isinstance(error, httpx.ReadTimeout) and outgoing is not None and outgoing.is_under_way:
        return httpx.WriteTimeout(str(error))
    return error


def _mapped(problem: Exception) -> httpx.TransportError:
    kind = next(to for from_, to in _ERRORS if isinstance(problem, from_))
    return kind(_reason(problem))


def _without_frames(problem: Exception) -> Exception:
    """aiohttp keeps the problem with the connection, and what caused it is kept in frames that it has passed:
    those would keep the request.
    """
    error: BaseException | None = problem
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
    return problem


def _reason(problem: Exception) -> str:
    """For the log. What upstream sent is not in it, nor what it was asked for: aiohttp quotes answers that it
    cannot read, and whole URLs.
    """
    if isinstance(problem, HttpProcessingError):
        return "upstream sent what is no HTTP answer"
    if isinstance(problem, _SAID):
        return str(problem)
    return f"{type(problem).__name__} {getattr(problem, 'errno', None) or ''}".rstrip()

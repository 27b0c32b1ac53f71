"""httpx's transport interface over aiohttp's connections, faithful to what it is given.

Repeated headers stay repeated, and the request target (the `target` extension) goes out as it came in: a
general-purpose transport may join the one and normalise the other. aiohttp's pool is also several times
faster than httpx's own under concurrency.
"""

from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import aiohttp
import httpx
from multidict import CIMultiDict
from yarl import URL

from proxy.breathing import LARGE_BYTES

PIECE_BYTES = 256 * 1024
MAX_HEADER_BYTES = 64 * 1024
LARGE_BODY_BYTES = 64 * 1024
"""What fits into a socket's buffers whether or not the other end reads."""
_ADDED_BY_AIOHTTP = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")

# The first match wins: the more special stand first.
_ERRORS: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (aiohttp.ServerTimeoutError, httpx.ReadTimeout),
    (aiohttp.ClientConnectorError, httpx.ConnectError),
    (aiohttp.InvalidURL, httpx.UnsupportedProtocol),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError),
    (aiohttp.ClientError, httpx.ReadError),
    (ConnectionError, httpx.ReadError),
)
# Their texts have no URL in them.
_SAID = (
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
    def __init__(self, *, max_connections: int) -> None:
        self._max_connections = max_connections
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The `on_connected` extension is called when there is a connection, before the request goes out.
        Nothing is sent twice.

        Raises httpx.TransportError; PoolTimeout where no connection was free.
        """
        if self._session is None:
            self._session = self._open_session()
        timeout = request.extensions.get("timeout", {})
        read = timeout.get("read")
        first_byte = timeout.get("first_byte", read)
        dialing = Dialing.begin(request.extensions.get("on_connected"))
        data = _data(request, read, first_byte)
        try:
            response = await self._session.request(
                request.method,
                _target_url(request),
                headers=CIMultiDict([(_text(name), _text(value)) for name, value in request.headers.raw]),
                data=data,
                allow_redirects=False,
                timeout=_timeout(timeout.get("connect"), first_byte),
            )
        except (aiohttp.ClientError, ConnectionError) as problem:
            error = _mapped(problem)
            if isinstance(error, httpx.ConnectTimeout) and not dialing.is_dialing:
                error = httpx.PoolTimeout(str(error))
            elif isinstance(error, httpx.ReadTimeout) and _is_being_sent(data):
                error = httpx.WriteTimeout(str(error))
            raise error from problem.with_traceback(None)
        finally:
            dialing.end()
        if isinstance(data, _BodyPayload):
            data.body.protocol = None
        if first_byte != read:
            _wait_between_bytes(response, read)
        return httpx.Response(
            response.status, headers=response.raw_headers, stream=_ResponseStream(response), request=request
        )

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open_session(self) -> aiohttp.ClientSession:
        session = aiohttp.ClientSession(
            request_class=_Request,
            connector=Connector(limit=self._max_connections),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_ADDED_BY_AIOHTTP,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
        )
        session._retry_connection = False  # it would repeat requests behind the back of those who count
        return session


class _Request(aiohttp.ClientRequest):
    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        """The time for the first byte runs from the last of the request. Of one that upstream may never read
        to its end it runs from here.
        """
        if isinstance(self.body, aiohttp.BytesPayload) and (self.body.size or 0) > LARGE_BODY_BYTES:
            conn.protocol.start_timeout()
        elif isinstance(self.body, _BodyPayload):
            self.body.body.protocol = conn.protocol
        return await super().send(conn)


class _Body:
    """A body in pieces. While upstream does not take one, a timer runs; while none is there to be taken, for
    the client is slow, none does.
    """

    def __init__(
        self, pieces: AsyncIterable[bytes], seconds: float | None, first_byte_seconds: float | None
    ) -> None:
        self.protocol: Any = None
        """None: there is no connection yet, or the answer has come already, and has timers of its own."""
        self.is_taken = False
        self._pieces = pieces
        self._seconds = seconds
        self._first_byte_seconds = first_byte_seconds

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._pieces:
            self._time(self._seconds)
            yield piece
            self._time(None)
        self.is_taken = True
        self._time(self._first_byte_seconds)

    def _time(self, seconds: float | None) -> None:
        if self.protocol is not None:
            self.protocol.read_timeout = seconds
            self.protocol.start_timeout()


class _BodyPayload(aiohttp.AsyncIterablePayload):
    """aiohttp's name for one."""

    def __init__(self, body: _Body) -> None:
        super().__init__(body)
        self.body = body


class Connector(aiohttp.TCPConnector):
    async def connect(self, *arguments: Any, **options: Any) -> Any:
        connection = await super().connect(*arguments, **options)
        _dialing.get().succeed()
        return connection

    async def _create_connection(self, *arguments: Any, **options: Any) -> Any:
        _dialing.get().is_dialing = True
        return await super()._create_connection(*arguments, **options)


class _ResponseStream(httpx.AsyncByteStream):
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    # Not a generator: one that is left before its end costs a task to be closed.
    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await self._response.content.readany()
        except (aiohttp.ClientError, ConnectionError) as problem:
            raise _mapped(problem) from problem.with_traceback(None)
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        # Read to its end, the connection went back to the pool by itself; otherwise it must not.
        self._response.close()


def _wait_between_bytes(response: aiohttp.ClientResponse, seconds: float | None) -> None:
    """From here on the time between two pieces counts. Without a connection the answer is there already."""
    connection = response.connection
    if connection is not None and connection.protocol is not None:
        connection.protocol.read_timeout = seconds
        connection.protocol.start_timeout()


def _target_url(request: httpx.Request) -> URL:
    target = request.extensions.get("target")
    if target is None:
        return URL(str(request.url), encoded=True)
    url = request.url
    return URL(f"{url.scheme}://{url.netloc.decode()}{target.decode('ascii')}", encoded=True)


def _data(
    request: httpx.Request, seconds: float | None, first_byte_seconds: float | None
) -> bytes | _BodyPayload | None:
    stream = request.stream
    if isinstance(stream, httpx.ByteStream):
        body = b"".join(stream)
        if len(body) <= LARGE_BYTES:
            return body or None
        return _BodyPayload(_Body(_pieces(body), seconds, first_byte_seconds))
    assert isinstance(stream, httpx.AsyncByteStream)
    return _BodyPayload(_Body(stream, seconds, first_byte_seconds))


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    """What a socket does not take at once is copied: not all of a large body."""
    for start in range(0, len(body), PIECE_BYTES):
        yield body[start : start + PIECE_BYTES]


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


@lru_cache(maxsize=256)
def _timeout(connect: float | None, read: float | None) -> aiohttp.ClientTimeout:
    # `connect` bounds the wait for a free connection too.
    return aiohttp.ClientTimeout(total=None, connect=connect, sock_connect=connect, sock_read=read)


def _is_being_sent(data: bytes | _BodyPayload | None) -> bool:
    return isinstance(data, _BodyPayload) and not data.body.is_taken


def _mapped(problem: aiohttp.ClientError | ConnectionError) -> httpx.TransportError:
    """Raise it `from problem.with_traceback(None)`: aiohttp keeps the problem with the connection, and its
    frames would keep both, and the request.
    """
    kind = next(to for from_, to in _ERRORS if isinstance(problem, from_))
    return kind(_reason(problem))


def _reason(problem: Exception) -> str:
    """For the log. What upstream sent is not in it, nor what it was asked for: aiohttp quotes answers that it
    cannot read, and whole URLs.
    """
    if isinstance(problem, aiohttp.ClientResponseError):
        return "upstream sent what is no HTTP answer"
    if isinstance(problem, _SAID):
        return str(problem)
    return f"{type(problem).__name__} {getattr(problem, 'errno', None) or ''}".rstrip()

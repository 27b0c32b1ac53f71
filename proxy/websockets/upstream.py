"""Upstream's side of a WebSocket, by aiohttp: messages as they are, nothing compressed, pings answered.
Reading is paused while nobody takes what has come, writing waits while upstream does not read.
"""

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import structlog
from multidict import CIMultiDict
from yarl import URL

from proxy.errors import NoFreeConnection, UpstreamTimeout, UpstreamUnreachable
from proxy.providers import Provider
from proxy.transport import MAX_HEADER_BYTES, Connector, Dialing
from proxy.types import Headers
from proxy.websockets.handshake import Handshake
from tokens.grant import Grant

HANDSHAKE_SECONDS = 15.0
"""How long upstream may take to answer, beyond the time for a connection."""
CLOSE_SECONDS = 1.0
"""How long upstream has to answer our close frame."""
MAX_REFUSAL_BYTES = 64 * 1024
"""Of upstream's answer when it is none of a WebSocket; the rest is lost."""

log = structlog.get_logger("proxy")


@dataclass(slots=True)
class _Answer:
    """What upstream answered the handshake with."""

    status: int = 0
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    transport: asyncio.Transport | None = None


class UpstreamSocket:
    """An open one."""

    def __init__(
        self, socket: aiohttp.ClientWebSocketResponse[bool], transport: asyncio.Transport | None
    ) -> None:
        self.protocol = socket.protocol
        """The subprotocol that upstream has selected."""
        self.receive = socket.receive
        self._socket = socket
        self._transport = transport

    async def send(self, data: str | bytes) -> None:
        """Waits while upstream reads slower than we write. Raises aiohttp.ClientError and ConnectionError."""
        if isinstance(data, str):
            await self._socket.send_str(data)
        else:
            await self._socket.send_bytes(data)

    async def close(self, code: int) -> None:
        """Within 2 s, whatever upstream does."""
        try:
            async with asyncio.timeout(2 * CLOSE_SECONDS):
                await self._socket.close(code=code)
        except (TimeoutError, aiohttp.ClientError, ConnectionError):
            pass  # it is closed, if not in good order
        finally:
            self._abort_if_stuck()

    def _abort_if_stuck(self) -> None:
        """A connection whose other end does not read would stay for ever, and hold up our own end."""
        transport = self._transport
        if transport is not None and transport.get_write_buffer_size():
            asyncio.get_running_loop().call_later(CLOSE_SECONDS, transport.abort)


class UpstreamRefusal(Exception):
    """Upstream answered the handshake, but not with a WebSocket: its answer."""

    def __init__(self, answer: _Answer) -> None:
        super().__init__(answer.status)
        self.status, self.headers, self.body = answer.status, answer.headers, answer.body


_answer: ContextVar[_Answer] = ContextVar("answer")


class SocketTransport:
    def __init__(self, *, max_connections: int, connect_seconds: float, max_message_bytes: int) -> None:
        self._max_connections = max_connections
        self._connect_seconds = connect_seconds
        self._max_message_bytes = max_message_bytes
        self._session: aiohttp.ClientSession | None = None

    async def open(
        self,
        base_url: str,
        provider: Provider,
        grant: Grant,
        upstream_key: str,
        handshake: Handshake,
        context: Headers,
    ) -> tuple[UpstreamSocket, Headers]:
        """A WebSocket and the headers of upstream's answer. Whoever opens it closes it. `context` are headers
        that it gets besides.

        Raises UpstreamRefusal, UpstreamUnreachable and UpstreamTimeout.
        """
        if self._session is None:
            self._session = self._open_session()
        answer, dialing = _Answer(), Dialing.begin()
        _answer.set(answer)
        headers = handshake.headers_to_upstream(upstream_key, provider.headers, grant.upstream_headers)
        headers += context
        try:
            async with asyncio.timeout(self._connect_seconds + HANDSHAKE_SECONDS):
                socket = await self._session.ws_connect(
                    URL(base_url + handshake.request.target, encoded=True),
                    headers=CIMultiDict((_text(name), _text(value)) for name, value in headers),
                    protocols=handshake.subprotocols,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS),
                    max_msg_size=self._max_message_bytes,
                    decode_text=False,
                )
        except aiohttp.WSServerHandshakeError as problem:
            if problem.status == 101 or not answer.status:
                raise self._unreachable(base_url, problem, dialing) from None
            raise UpstreamRefusal(answer) from None
        except aiohttp.ConnectionTimeoutError as problem:
            raise self._unreachable(base_url, problem, dialing) from None
        except TimeoutError:
            raise UpstreamTimeout from None
        except (aiohttp.ClientError, ConnectionError, ValueError) as problem:
            raise self._unreachable(base_url, problem, dialing) from None
        return UpstreamSocket(socket, answer.transport), answer.headers

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _unreachable(self, base_url: str, problem: Exception, dialing: Dialing) -> UpstreamUnreachable:
        log.warning("upstream failed", error=type(problem).__name__, url=base_url)
        if isinstance(problem, aiohttp.ConnectionTimeoutError) and not dialing.is_dialing:
            return NoFreeConnection()
        was_connected = not isinstance(problem, aiohttp.ConnectionTimeoutError | aiohttp.ClientConnectorError)
        return UpstreamUnreachable(was_connected=was_connected)

    def _open_session(self) -> aiohttp.ClientSession:
        tracing = aiohttp.TraceConfig()
        tracing.on_request_end.append(_keep_answer)
        tracing.on_request_redirect.append(_refuse_redirect)
        session = aiohttp.ClientSession(
            connector=Connector(limit=self._max_connections),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            timeout=aiohttp.ClientTimeout(
                total=None, connect=self._connect_seconds, sock_connect=self._connect_seconds
            ),
            trace_configs=[tracing],
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
        )
        session._retry_connection = False  # it would ask again behind the back of those who count
        return session


def _text(data: bytes) -> str:
    """Which aiohttp will write as UTF-8: as it came, unless it came in another encoding."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


async def _keep_answer(_: aiohttp.ClientSession, __: Any, params: aiohttp.TraceRequestEndParams) -> None:
    """aiohttp throws away what an upstream says that refuses: keep it for the client."""
    answer, response = _answer.get(), params.response
    answer.status = response.status
    answer.headers = [(name.lower(), value) for name, value in response.raw_headers]
    if response.status == 101:
        transport = response.connection.transport if response.connection is not None else None
        answer.transport = transport if isinstance(transport, asyncio.Transport) else None
    else:
        answer.body = await _read_body(response.content)


async def _read_body(content: aiohttp.StreamReader) -> bytes:
    """All of it, as far as it is kept, and as far as it comes."""
    body = b""
    try:
        while len(body) < MAX_REFUSAL_BYTES and (piece := await content.read(MAX_REFUSAL_BYTES - len(body))):
            body += piece
    except aiohttp.ClientError:
        pass  # upstream broke off: its status says enough
    return body


async def _refuse_redirect(*_: object) -> None:
    raise aiohttp.ClientConnectionError("upstream redirects, and a key follows no redirect")

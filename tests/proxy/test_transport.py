"""The transport against the fake upstream and against sockets that misbehave."""

import asyncio
import hashlib
import socket
import struct
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import httpx
import pytest

from llm_proxy_site.fake_upstream import create_app, running
from proxy.transport import AiohttpTransport
from tests.garbage import no_collection
from tests.live import eventually_async

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def transport() -> AsyncIterator[AiohttpTransport]:
    transport = AiohttpTransport(max_connections=10)
    yield transport
    await transport.aclose()


@asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[str]:
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_headers_and_target_go_out_as_given(transport: AiohttpTransport) -> None:
    head = asyncio.get_running_loop().create_future()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head.set_result(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 No Content\r\nX-Twice: 1\r\nX-Twice: 2\r\n\r\n")
        writer.close()

    async with listening(answer) as url:
        request = httpx.Request(
            "GET", url, headers=[("a", "1"), ("a", "2")], extensions={"target": b"/x%7Ey//z?q=%2f&q=[]"}
        )
        response = await transport.handle_async_request(request)
        await response.aclose()

    lines = (await head).decode().split("\r\n")
    assert lines[0] == "GET /x%7Ey//z?q=%2f&q=[] HTTP/1.1"
    assert {line.split(":")[0].lower() for line in lines[1:] if line} == {"host", "a"}
    assert [line for line in lines if line.startswith("a:")] == ["a: 1", "a: 2"]
    assert response.headers.get_list("x-twice") == ["1", "2"]


async def test_without_a_target_the_url_is_used(transport: AiohttpTransport) -> None:
    async with running(create_app()) as url:
        request = httpx.Request("GET", f"{url}/models", headers={"authorization": "Bearer sk-x"})
        response = await transport.handle_async_request(request)
        body = b"".join([chunk async for chunk in response.stream])
        await response.aclose()

    assert response.status_code == 200
    assert body.startswith(b'{"object":"list"')


REQUEST_END = b"\r\n\r\nx"
"""Who closes a connection before it has read all that came, resets it."""


async def _hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(REQUEST_END)
    writer.close()


async def _say_garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(REQUEST_END)
    writer.write(b"this is not HTTP\r\n\r\n")
    writer.close()


async def _say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


@pytest.mark.parametrize(
    ("handler", "error"),
    [
        (_hang_up, httpx.RemoteProtocolError),
        (_say_garbage, httpx.RemoteProtocolError),
        (_say_nothing, httpx.ReadTimeout),
    ],
)
async def test_what_goes_wrong_is_said_in_httpxs_terms(
    transport: AiohttpTransport, handler: Handler, error: type[Exception]
) -> None:
    async with listening(handler) as url:
        request = httpx.Request(
            "POST", url, content=b"x", extensions={"timeout": {"connect": 5, "read": 0.2}}
        )
        with pytest.raises(error):
            await transport.handle_async_request(request)
        await transport.aclose()


async def test_a_refused_connection_is_a_connect_error(transport: AiohttpTransport) -> None:
    with pytest.raises(httpx.ConnectError):
        await transport.handle_async_request(httpx.Request("GET", "http://127.0.0.1:1"))


async def test_an_answer_shorter_than_announced_is_an_error(transport: AiohttpTransport) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        writer.close()

    async with listening(cut) as url:
        response = await transport.handle_async_request(httpx.Request("GET", url))
        with pytest.raises(httpx.RemoteProtocolError):
            [chunk async for chunk in response.stream]
        await response.aclose()


async def test_a_large_body_goes_out_whole_with_its_length(transport: AiohttpTransport) -> None:
    body = bytes(range(256)) * 20_000
    async with running(create_app()) as base_url:
        request = httpx.Request(
            "POST",
            f"{base_url}/embeddings",
            headers={"authorization": "Bearer sk-test", "content-type": "application/json"},
            content=body,
        )
        response = await transport.handle_async_request(request)
        await response.aclose()
        async with httpx.AsyncClient() as client:
            (seen,) = (await client.get(base_url.removesuffix("/v1") + "/_fake/requests")).json()

    assert seen["body_sha256"] == hashlib.sha256(body).hexdigest()
    assert ["content-length", str(len(body))] in [[name.lower(), value] for name, value in seen["headers"]]
    assert not any(name.lower() == "transfer-encoding" for name, _ in seen["headers"])


class Pieces(httpx.AsyncByteStream):
    def __init__(self, size_bytes: int, pause_seconds: float, count: int) -> None:
        self._size_bytes, self._pause_seconds, self._count = size_bytes, pause_seconds, count

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(self._count):
            yield b"x" * self._size_bytes
            await asyncio.sleep(self._pause_seconds)


def upload(url: str, pieces: Pieces) -> httpx.Request:
    timeout = {"connect": 5, "read": 0.3}
    return httpx.Request("POST", url, stream=pieces, extensions={"timeout": timeout})


async def test_a_body_that_is_not_taken_runs_out_of_time(transport: AiohttpTransport) -> None:
    may_end = asyncio.Event()

    async def never_read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await may_end.wait()
        writer.transport.abort()

    async with listening(never_read) as url:
        with pytest.raises(httpx.WriteTimeout):
            await asyncio.wait_for(transport.handle_async_request(upload(url, Pieces(1_000_000, 0, 50))), 10)
        may_end.set()


async def test_the_time_in_which_a_body_does_not_come_is_not_upstreams(transport: AiohttpTransport) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"0\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    async with listening(answer) as url:
        response = await transport.handle_async_request(upload(url, Pieces(10, 0.6, 2)))
        await response.aclose()

    assert response.status_code == 204


async def test_a_body_of_unknown_length_goes_out_in_chunks(transport: AiohttpTransport) -> None:
    request_bytes = asyncio.get_running_loop().create_future()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request_bytes.set_result(await reader.readuntil(b"\r\n0\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    async with listening(answer) as url:
        response = await transport.handle_async_request(upload(url, Pieces(3, 0, 2)))
        await response.aclose()

    head, _, body = (await request_bytes).partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head.splitlines()
    assert body == b"3\r\nxxx\r\n3\r\nxxx\r\n0\r\n\r\n"


async def test_a_connection_is_used_again_when_both_sides_are_through(transport: AiohttpTransport) -> None:
    connections = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        while await reader.read(65536):
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
        writer.close()

    async with listening(answer) as url:
        for _ in range(3):
            response = await transport.handle_async_request(httpx.Request("POST", url, content=b"x"))
            assert [chunk async for chunk in response.stream] == [b"{}"]
            await response.aclose()
        await transport.aclose()

    assert len(connections) == 1


async def test_an_answer_in_the_midst_of_a_body_ends_the_connection(transport: AiohttpTransport) -> None:
    connections, may_end = [], asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\n{}")
        await may_end.wait()
        writer.close()

    async with listening(answer) as url:
        for _ in range(2):
            response = await transport.handle_async_request(upload(url, Pieces(10, 0.05, 1000)))
            assert [chunk async for chunk in response.stream] == [b"{}"]
            await response.aclose()
        may_end.set()

    assert response.status_code == 413
    assert len(connections) == 2


async def test_a_body_that_its_client_does_not_complete_is_an_error_at_once(
    transport: AiohttpTransport,
) -> None:
    class Broken(Pieces):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"x"
            raise ValueError("the client has left")

    async with listening(_say_nothing) as url:
        request = httpx.Request("POST", url, stream=Broken(1, 0, 1))
        with pytest.raises(httpx.ReadError):
            await asyncio.wait_for(transport.handle_async_request(request), 10)
        await transport.aclose()


class Parts(httpx.AsyncByteStream):
    def __init__(self, *parts: bytes) -> None:
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            yield part
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("body", [b"", b"shrt", b"longer", b"x" * 200_000])
@pytest.mark.parametrize("declared", ["5", "five", "5, 5", "-5"])
async def test_a_held_body_of_another_length_than_declared_is_not_sent(
    transport: AiohttpTransport, body: bytes, declared: str
) -> None:
    connections = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)

    async with listening(note) as url:
        request = httpx.Request(
            "POST", url, headers={"content-length": declared}, stream=httpx.ByteStream(body)
        )
        with pytest.raises(httpx.LocalProtocolError, match="not as long as declared"):
            await transport.handle_async_request(request)

    assert not connections


@pytest.mark.parametrize("parts", [(), (b"shrt",), (b"sh", b"rt"), (b"longer",), (b"long", b"er")])
async def test_a_streamed_body_of_another_length_than_declared_ends_its_connection(
    transport: AiohttpTransport, parts: tuple[bytes, ...]
) -> None:
    connections: list[asyncio.StreamWriter] = []
    received: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        received.append(await reader.read())
        writer.close()

    async with listening(answer) as url:
        for count in (1, 2):
            request = httpx.Request("POST", url, headers={"content-length": "5"}, stream=Parts(*parts))
            with pytest.raises(httpx.LocalProtocolError, match="not as long as declared"):
                await asyncio.wait_for(transport.handle_async_request(request), 10)
            assert len(connections) == count
        await transport.aclose()
        await eventually_async(lambda: len(received) == 2)

    assert all(len(body) < 5 for body in received)


async def test_an_answer_before_a_body_that_ends_short_is_cut_and_ends_its_connection(
    transport: AiohttpTransport,
) -> None:
    connections = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{}")
        await reader.read()
        writer.close()

    async with listening(answer) as url:
        for _ in range(2):
            request = httpx.Request("POST", url, headers={"content-length": "5"}, stream=Parts(b"1", b"2"))
            response = await transport.handle_async_request(request)
            with pytest.raises(httpx.LocalProtocolError):
                [chunk async for chunk in response.stream]
            await response.aclose()

    assert len(connections) == 2


async def test_a_body_that_fails_while_its_answer_comes_ends_the_answer(transport: AiohttpTransport) -> None:
    """As one that turns out to be too large: upstream may wait for the rest of it for ever."""
    answered, gone = asyncio.Event(), asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{}")
        await reader.read()
        writer.close()
        gone.set()

    class Failing(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"1"
            await answered.wait()
            raise ValueError("too large")

    async with listening(answer) as url:
        response = await transport.handle_async_request(httpx.Request("POST", url, stream=Failing()))
        answered.set()
        with pytest.raises(httpx.TransportError):
            async with asyncio.timeout(10):
                [chunk async for chunk in response.stream]
        await response.aclose()
        await gone.wait()


async def test_an_empty_piece_is_not_the_last_chunk(transport: AiohttpTransport) -> None:
    body = asyncio.get_running_loop().create_future()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body.set_result(await reader.readuntil(b"0\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    async with listening(answer) as url:
        request = httpx.Request("POST", url, stream=Parts(b"", b"x", b"", b"y"))
        response = await transport.handle_async_request(request)
        await response.aclose()

    assert await body == b"1\r\nx\r\n1\r\ny\r\n0\r\n\r\n"


async def test_a_head_that_would_be_read_as_another_is_not_sent(transport: AiohttpTransport) -> None:
    for end in (b"\r\n", b"\n", b"\r"):
        request = httpx.Request("GET", "http://127.0.0.1:1", headers=[(b"a", b"1" + end + b"b: 2")])
        with pytest.raises(ValueError, match="a line ends"):
            await transport.handle_async_request(request)


async def test_information_before_an_answer_is_none(transport: AiohttpTransport) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    async with listening(answer) as url:
        response = await transport.handle_async_request(httpx.Request("GET", url))
        await response.aclose()

    assert response.status_code == 204


class Told:
    """Whoever is told of a connection holds the request, with its body."""

    def __call__(self) -> None:
        pass


async def test_a_connection_that_waits_for_the_next_request_keeps_nothing_of_the_last(
    transport: AiohttpTransport,
) -> None:
    async def ask(url: str, told: Told) -> None:
        response = await transport.handle_async_request(
            httpx.Request(
                "GET",
                f"{url}/models",
                headers={"authorization": "Bearer sk-x"},
                extensions={"on_connected": told},
            )
        )
        assert [chunk async for chunk in response.stream]

    with no_collection():
        async with running(create_app()) as url:
            told = Told()
            kept = weakref.ref(told)
            asking = asyncio.create_task(ask(url, told))
            await asking
            del told, asking
            await asyncio.sleep(0)
            assert kept() is None


UNASKED = (
    b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nnobody",
    b"HTTP/1.1 200 OK\r\nX-Half",
    b"HTTP/1.1 103 Early Hints\r\n\r\n",
    b"garbage",
)


@pytest.mark.parametrize("unasked", UNASKED)
async def test_what_nobody_has_asked_for_is_nobodys_answer(
    transport: AiohttpTransport, unasked: bytes
) -> None:
    gone, told = [], asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                name = head.split(b" ")[1]
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(name), name))
                await told.wait()
                writer.write(unasked)
        gone.append(writer)
        writer.close()

    async with listening(answer) as url:
        assert await read(transport, url + "/alice") == b"/alice"
        told.set()
        await eventually_async(lambda: len(gone) == 1)
        told.clear()
        assert await read(transport, url + "/bob") == b"/bob"
        await transport.aclose()
        told.set()
        await eventually_async(lambda: len(gone) == 2)


async def test_information_does_not_stop_the_clock(transport: AiohttpTransport) -> None:
    gone = asyncio.Event()

    async def inform(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await reader.read()
        writer.close()
        gone.set()

    async with listening(inform) as url:
        request = httpx.Request("GET", url, extensions={"timeout": {"connect": 5, "read": 0.2}})
        with pytest.raises(httpx.ReadTimeout):
            await asyncio.wait_for(transport.handle_async_request(request), 10)
        await gone.wait()


CHUNKED = b"Transfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(("head", "is_reset"), [(b"", True), (CHUNKED, True), (CHUNKED, False)])
async def test_an_answer_that_breaks_off_is_not_whole(
    transport: AiohttpTransport, head: bytes, is_reset: bool
) -> None:
    """Reset, or with a chunk that is none."""
    rest, gone = asyncio.Event(), asyncio.Event()

    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n%b\r\n5\r\nhello\r\n" % head)
        await rest.wait()
        if is_reset:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        else:
            writer.write(b"ZZ\r\n")
            await reader.read()
            writer.close()
        gone.set()

    async with listening(break_off) as url:
        response = await transport.handle_async_request(httpx.Request("GET", url))
        assert b"hello" in await anext(response.stream.__aiter__())
        rest.set()
        with pytest.raises(httpx.TransportError):
            async with asyncio.timeout(10):
                [chunk async for chunk in response.stream]
        await response.aclose()
        await gone.wait()


async def read(transport: AiohttpTransport, url: str) -> bytes:
    response = await transport.handle_async_request(httpx.Request("GET", url))
    body = b"".join([chunk async for chunk in response.stream])
    await response.aclose()
    return body


async def test_a_request_that_fails_does_not_wait_for_the_collector(transport: AiohttpTransport) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def fail(url: str, told: Told) -> None:
        request = httpx.Request("GET", url, extensions={"on_connected": told})
        with pytest.raises(httpx.TransportError):
            await transport.handle_async_request(request)

    with no_collection():
        async with listening(hang_up) as url:
            for upstream_url in (url, "http://127.0.0.1:1"):
                told = Told()
                kept = weakref.ref(told)
                failing = asyncio.create_task(fail(upstream_url, told))
                await failing
                del told, failing
                await asyncio.sleep(0)
                assert kept() is None, upstream_url

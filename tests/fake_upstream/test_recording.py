import asyncio
import base64
import hashlib
import socket

from aiohttp import ClientSession

from llm_proxy_site.fake_upstream import create_app, running

from .upstream import Upstream


async def test_a_request_is_recorded_as_it_was_received(upstream: Upstream) -> None:
    host, port = upstream.base_url.removeprefix("http://").removesuffix("/v1").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /v1/nothing?b=%7E&a=1&a=~ HTTP/1.1\r\nHost: x\r\nX-Two: 1\r\nx-one: \xe9\r\nX-Two: 2\r\n"
        b"Connection: close\r\nContent-Length: 5\r\n\r\nhello"
    )
    await reader.read()
    writer.close()
    await writer.wait_closed()

    record = (await upstream.introspect("requests"))[0]
    assert record["method"] == "POST"
    assert record["target"] == "/v1/nothing?b=%7E&a=1&a=~"
    assert record["headers"][1:4] == [["X-Two", "1"], ["x-one", "é"], ["X-Two", "2"]]
    assert record["body_bytes"] == 5
    assert record["body_sha256"] == hashlib.sha256(b"hello").hexdigest()
    assert base64.b64decode(record["body_base64"]) == b"hello"
    assert record["state"] == "finished"
    assert record["ended_at"] >= record["started_at"]


async def test_a_large_body_is_hashed_but_not_kept(upstream: Upstream) -> None:
    await upstream.post("nothing", b"x" * 100_000)

    record = (await upstream.introspect("requests"))[0]
    assert record["body_sha256"] == hashlib.sha256(b"x" * 100_000).hexdigest()
    assert record["body_base64"] is None


async def test_a_clients_hang_up_is_noticed_in_a_silent_stream(upstream: Upstream) -> None:
    response = await upstream.chat(stream=True, chunk_delay_ms=60_000)
    await response.content.readuntil(b"\n\n")
    assert await upstream.introspect("stats") == {"requests": 1, "running": 1, "closed_by_client": 0}

    response.close()

    assert await upstream.wait_for_state("closed_by_client")
    assert await upstream.introspect("stats") == {"requests": 1, "running": 0, "closed_by_client": 1}


async def test_a_clients_hang_up_is_noticed_in_a_full_pipe(upstream: Upstream) -> None:
    response = await upstream.session.get(f"{upstream.base_url}/files/file-size-1000000000/content")
    await response.content.readany()

    response.close()

    assert await upstream.wait_for_state("closed_by_client")


async def test_a_clients_hang_up_is_noticed_in_its_own_upload(upstream: Upstream) -> None:
    host, port = upstream.base_url.removeprefix("http://").removesuffix("/v1").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\npart")
        await upstream.wait_for_state("running")

    record = await upstream.wait_for_state("closed_by_client")
    assert record["body_bytes"] == 4


async def test_records_can_be_cleared(upstream: Upstream) -> None:
    await upstream.chat()
    await upstream.session.delete(f"{upstream.base_url.removesuffix('/v1')}/_fake/requests")

    assert await upstream.introspect("requests") == []
    assert await upstream.introspect("stats") == {"requests": 0, "running": 0, "closed_by_client": 0}


async def test_recording_can_be_switched_off() -> None:
    headers = {"Authorization": "Bearer sk-test"}
    async with running(create_app(record=False)) as base_url, ClientSession(headers=headers) as session:
        upstream = Upstream(base_url, session)
        await upstream.chat()

        assert await upstream.introspect("requests") == []
        assert (await upstream.introspect("stats"))["requests"] == 1

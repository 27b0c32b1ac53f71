import asyncio
import gzip
import time

import aiohttp
import msgspec
import openai
import pytest

from llm_proxy_site.fake_upstream.patterns import BLOCK_BYTES

from .upstream import Sdk, Upstream


async def test_a_scripted_status_is_answered_with_an_error_body(upstream: Upstream) -> None:
    response = await upstream.chat(status=429, retry_after=7)
    answer = await response.json()

    assert response.status == 429
    assert response.headers["retry-after"] == "7"
    assert answer["error"]["code"] == "rate_limit_exceeded"


async def test_the_sdk_sees_a_scripted_status_as_its_own_exception(client: Sdk) -> None:
    with pytest.raises(openai.InternalServerError):
        await client.models.list(extra_headers={"x-fake-status": "503"})


async def test_a_fault_can_be_a_query_parameter_but_the_header_wins(upstream: Upstream) -> None:
    by_query = await upstream.chat(params={"x-fake-status": "500"})
    by_both = await upstream.chat(params={"x-fake-status": "500"}, status=418)

    assert (by_query.status, by_both.status) == (500, 418)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "often"),
        ("status", "99"),
        ("delay-ms", "-1"),
        ("chunks", "many"),
        ("hang", "2"),
        ("encoding", "br"),
        ("size-bytes", "large"),
        ("stauts", "500"),
    ],
)
async def test_a_bad_fault_is_refused_by_its_name(upstream: Upstream, name: str, value: str) -> None:
    response = await upstream.chat(params={f"x-fake-{name}": value})
    answer = await response.json()

    assert response.status == 400
    assert answer["error"]["param"] == f"x-fake-{name}"


async def test_the_number_of_chunks_is_scripted(upstream: Upstream) -> None:
    body = await (await upstream.chat(stream=True, chunks=100)).read()

    assert body.count(b"\n\n") == 1 + 100 + 1 + 1


async def test_a_delay_comes_before_the_headers(upstream: Upstream) -> None:
    began = time.monotonic()
    await upstream.chat(delay_ms=80)

    assert time.monotonic() - began >= 0.08


async def test_chunks_keep_their_pace(upstream: Upstream) -> None:
    began = time.monotonic()
    response = await upstream.chat(stream=True, chunks=2, chunk_delay_ms=30)
    events = (await response.read()).count(b"\n\n")

    assert time.monotonic() - began >= (events - 1) * 0.03


async def test_each_chunk_is_one_write(upstream: Upstream) -> None:
    response = await upstream.chat(stream=True, chunks=3, chunk_delay_ms=1)
    events = [chunk async for chunk, _ in response.content.iter_chunks() if chunk]

    assert all(event.startswith(b"data: ") and event.count(b"\n\n") == 1 for event in events)


async def test_a_cut_stream_ends_without_done(upstream: Upstream) -> None:
    response = await upstream.chat(stream=True, cut_after=3)
    events = [await response.content.readuntil(b"\n\n") for _ in range(3)]
    with pytest.raises(aiohttp.ClientError):
        await response.content.read()

    assert all(event.startswith(b"data: {") for event in events)
    assert (await upstream.wait_for_state("finished"))["method"] == "POST"


async def test_a_cut_answer_is_shorter_than_it_promised(upstream: Upstream) -> None:
    response = await upstream.chat(cut_after=1)

    with pytest.raises(aiohttp.ClientError):
        await response.read()


async def test_a_stream_that_ends_before_its_cut_is_whole(upstream: Upstream) -> None:
    body = await (await upstream.chat(stream=True, cut_after=1000)).read()

    assert body.endswith(b"data: [DONE]\n\n")


async def test_a_hang_never_answers(upstream: Upstream) -> None:
    asking = asyncio.ensure_future(upstream.chat(hang=1))
    await upstream.wait_for_state("running")
    done, _ = await asyncio.wait([asking], timeout=0.1)
    asking.cancel()

    assert not done
    assert await upstream.wait_for_state("closed_by_client")


async def test_a_hang_after_the_headers_never_sends_a_body(upstream: Upstream) -> None:
    response = await upstream.chat(hang="headers")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await response.read()

    assert response.status == 200
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize("stream", [False, True])
async def test_gzip_is_declared_and_holds_the_same_bytes(upstream: Upstream, stream: bool) -> None:
    plain = await (await upstream.chat(stream=stream)).read()
    response = await upstream.chat(stream=stream, encoding="gzip")

    assert response.headers["content-encoding"] == "gzip"
    assert gzip.decompress(await response.read()) == plain


@pytest.mark.parametrize("size", [1, 600, 1_000, 3 * BLOCK_BYTES + 1])
async def test_a_padded_answer_is_of_that_size_and_still_json(upstream: Upstream, size: int) -> None:
    plain = await (await upstream.chat()).read()
    response = await upstream.chat(size_bytes=size)
    body = await response.read()

    assert len(body) == int(response.headers["content-length"]) == max(size, len(plain))
    assert msgspec.json.decode(body).items() >= msgspec.json.decode(plain).items()


async def test_an_error_has_the_code_that_is_scripted(upstream: Upstream) -> None:
    response = await upstream.chat(status=429, code="insufficient_quota", should_retry="false")
    error = (await response.json())["error"]

    assert (error["type"], error["code"]) == ("insufficient_quota", "insufficient_quota")
    assert response.headers["x-should-retry"] == "false"


async def test_a_fault_can_end_after_some_requests_with_its_seed(upstream: Upstream) -> None:
    statuses = [(await upstream.chat(status=503, times=2, seed="a")).status for _ in range(3)]
    other = await upstream.chat(status=503, times=1, seed="b")

    assert (statuses, other.status) == ([503, 503, 200], 503)


async def test_a_reset_comes_in_place_of_an_answer(upstream: Upstream) -> None:
    with pytest.raises(aiohttp.ClientError):
        await upstream.chat(reset=1)


async def test_a_key_can_have_faults_of_its_own(upstream: Upstream) -> None:
    key = upstream.session.headers["Authorization"].removeprefix("Bearer ")
    faults = f"{upstream.base_url.removesuffix('/v1')}/_fake/keys/{key}"
    await upstream.session.put(faults, json={"x-fake-status": "500"})
    of_key, of_request = await upstream.chat(), await upstream.chat(status=418)
    await upstream.session.put(faults, json={})

    assert (of_key.status, of_request.status, (await upstream.chat()).status) == (500, 418, 200)

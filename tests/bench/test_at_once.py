import asyncio

import pytest
from aiohttp import web

from llm_proxy_site.bench.asking import LoadFailedError
from llm_proxy_site.bench.at_once import AtOnce, streams_at_once
from llm_proxy_site.bench.targets import Target
from llm_proxy_site.fake_upstream import create_app, running
from llm_proxy_site.fake_upstream.instants import BLANK, stamped

from .answering import answering

DONE = b"data: [DONE]\n\n"


async def test_more_and_more_streams_are_tried() -> None:
    async with running(create_app(record=False)) as base_url:
        seen = await _try(base_url, 2, 8)

    assert [(step.streams, step.begun, step.is_served) for step in seen] == [(2, 2, True), (8, 8, True)]


async def test_it_ends_where_chunks_come_late() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(4):
            word = stamped(BLANK.encode())
            await asyncio.sleep(0.15)
            await response.write(word)
        await response.write(DONE)
        return response

    async with answering(answer) as base_url:
        (seen,) = await _try(base_url, 2, 8)

    assert not seen.is_served
    assert seen.chunk_p50_ms > 150


async def test_a_stream_without_its_end_fails() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=stamped(BLANK.encode()))

    async with answering(answer) as base_url:
        with pytest.raises(LoadFailedError, match="ended a stream with"):
            await _try(base_url, 2)


async def test_a_refusal_fails() -> None:
    async with running(create_app(record=False)) as base_url:
        with pytest.raises(LoadFailedError, match="answered 401"):
            await _try(base_url, 2, key="not-a-key")


async def test_a_refusal_of_more_streams_is_where_it_ends() -> None:
    """What was measured until then, by this and by all other cases, is told."""
    open_streams = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal open_streams
        if open_streams == 4:
            raise web.HTTPServiceUnavailable(text="full")
        open_streams += 1
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(int(request.headers["x-fake-chunks"])):
            await response.write(stamped(BLANK.encode()))
            await asyncio.sleep(0.1)
        await response.write(DONE)
        open_streams -= 1
        return response

    async with answering(answer) as base_url:
        few, many = await _try(base_url, 2, 8, 16)

    assert few.is_served
    assert (many.streams, many.begun, many.is_served) == (8, None, False)
    assert "answered 503: full" in many.problem


async def _try(base_url: str, *steps: int, key: str = "sk-test") -> tuple[AtOnce, ...]:
    target = Target("some", base_url, key, pid=0)
    return await asyncio.to_thread(streams_at_once, target, steps, 0.3)

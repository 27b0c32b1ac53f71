from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from llm_proxy_site.bench.cases import CASES, Case
from llm_proxy_site.bench.load import LoadFailedError, load
from llm_proxy_site.fake_upstream import create_app, running


@pytest.fixture
async def upstream() -> AsyncIterator[str]:
    async with running(create_app(record=False)) as base_url:
        yield base_url


@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.name)
async def test_every_case_can_be_asked_of_upstream(upstream: str, case: Case) -> None:
    seen = await load(upstream, "sk-test", case, 0.5)

    assert seen.sent >= case.connections
    assert seen.p50_ms <= seen.p99_ms
    assert (seen.first_chunk_p50_ms is not None) == case.is_stream


async def test_a_refusal_ends_the_load(upstream: str) -> None:
    with pytest.raises(LoadFailedError, match=r"(?s)answered 401: .*Incorrect API key"):
        await load(upstream, "not-a-key", CASES["json-32"], 5)


async def test_an_answer_of_another_length_ends_the_load() -> None:
    with pytest.raises(LoadFailedError, match="the first answer had 2,"):
        await _load_answers("json-1", b"{}", b"{  }")


async def test_a_stream_without_its_end_ends_the_load() -> None:
    with pytest.raises(LoadFailedError, match=r"a whole one ends in b'data: \[DONE\]"):
        await _load_answers("stream-1", b"data: {}\n\n")


async def test_nobody_there_ends_the_load(upstream: str) -> None:
    with pytest.raises(LoadFailedError, match="gave no complete answer"):
        await load("http://127.0.0.1:1/v1", "sk-test", CASES["json-1"], 5)


async def _load_answers(case: str, *bodies: bytes) -> None:
    """Load a server that gives these answers, one after the other."""
    rest = iter(bodies)

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=next(rest))

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    async with running(app) as base_url:
        await load(base_url, "sk-test", CASES[case], 5)

import asyncio
from collections.abc import AsyncIterator
from itertools import count

import pytest
from aiohttp import web

from llm_proxy_site.bench.asking import LoadFailedError
from llm_proxy_site.bench.cases import CASES, Case
from llm_proxy_site.bench.load import load
from llm_proxy_site.fake_upstream import create_app, running

from .answering import answering

HEADERS = {"Authorization": "Bearer sk-test", "Content-Type": "application/json"}


@pytest.fixture
async def upstream() -> AsyncIterator[str]:
    async with running(create_app(record=False)) as base_url:
        yield base_url


@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.name)
async def test_every_case_can_be_asked_of_upstream(upstream: str, case: Case) -> None:
    observation = await load(upstream, HEADERS, case, 1)

    seen = observation.seen
    assert observation.sent >= case.connections + case.rate
    assert seen.p50_ms <= seen.p90_ms <= seen.p99_ms <= seen.p99_9_ms <= seen.max_ms
    assert seen.unanswered_percent == 0
    assert (seen.first_chunk_p50_ms is not None) == case.is_stream
    assert (seen.chunk_p50_ms is not None) == bool(case.chunk_delay_ms)


async def test_whoever_waits_behind_a_slow_answer_counts_from_when_it_was_due() -> None:
    """A closed loop would see one slow answer, and a hundred quick ones."""
    busy = asyncio.Lock()
    seen = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal seen
        await request.read()
        async with busy:
            seen += 1
            await asyncio.sleep(0.3 if seen == 15 else 0)
        return web.Response(body=b"{}")

    async with answering(answer) as base_url:
        observation = await load(base_url, HEADERS, CASES["open-json-100"], 0.4)

    assert observation.seen.max_ms > 290
    assert observation.seen.p50_ms > 50
    assert observation.seen.p90_ms > 200


async def test_what_an_open_loop_gives_up_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_proxy_site.bench.load.PATIENCE_SECONDS", 0.2)
    numbers = count()

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(next(numbers) % 2)
        return web.Response(body=b"{}")

    async with answering(answer) as base_url:
        observation = await load(base_url, HEADERS, CASES["open-json-100"], 0.3)

    assert observation.seen.unanswered_percent == pytest.approx(50, abs=4)
    assert observation.seen.p90_ms >= 200


async def test_a_wrong_answer_ends_an_open_loop_too(upstream: str) -> None:
    with pytest.raises(LoadFailedError, match="answered 401"):
        await load(upstream, {"Authorization": "Bearer not-a-key"}, CASES["open-json-20"], 0.3)


async def test_a_refusal_ends_the_load(upstream: str) -> None:
    with pytest.raises(LoadFailedError, match=r"(?s)answered 401: .*Incorrect API key"):
        await load(upstream, {"Authorization": "Bearer not-a-key"}, CASES["json-32"], 5)


async def test_an_answer_of_another_length_ends_the_load() -> None:
    with pytest.raises(LoadFailedError, match="the first answer had 2,"):
        await _load_answers("json-1", b"{}", b"{  }")


async def test_a_stream_without_its_end_ends_the_load() -> None:
    with pytest.raises(LoadFailedError, match=r"a whole one ends in b'data: \[DONE\]"):
        await _load_answers("stream-1", b"data: {}\n\n")


async def test_nobody_there_ends_the_load(upstream: str) -> None:
    with pytest.raises(LoadFailedError, match="gave no complete answer"):
        await load("http://127.0.0.1:1/v1", HEADERS, CASES["json-1"], 5)


async def _load_answers(case: str, *bodies: bytes) -> None:
    """Load a server that gives these answers, one after the other."""
    rest = iter(bodies)

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=next(rest))

    async with answering(answer) as base_url:
        await load(base_url, HEADERS, CASES[case], 5)

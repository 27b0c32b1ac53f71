from collections.abc import AsyncIterator

import openai
import pytest
from aiohttp import ClientSession, TCPConnector

from llm_proxy_site.fake_upstream import create_app, running

from .upstream import Upstream


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    headers = {"Authorization": "Bearer sk-test"}
    # A connection of its own for each request, so that a broken one is nobody else's.
    connector = TCPConnector(force_close=True)
    async with (
        running(create_app()) as base_url,
        ClientSession(headers=headers, connector=connector, auto_decompress=False) as session,
    ):
        upstream = Upstream(base_url, session)
        yield upstream
        upstream.close_responses()


@pytest.fixture
async def client(upstream: Upstream) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key="sk-test", base_url=upstream.base_url, max_retries=0) as client:
        yield client

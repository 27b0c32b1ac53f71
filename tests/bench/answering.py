"""A server that answers chat completions as a test tells it."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from aiohttp import web

from llm_proxy_site.fake_upstream import running

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def answering(handler: Handler) -> AbstractAsyncContextManager[str]:
    """Its base URL."""
    app = web.Application()
    app.router.add_post("/v1/chat/completions", handler)
    return running(app)

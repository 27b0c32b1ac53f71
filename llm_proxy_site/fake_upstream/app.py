"""The application: which endpoint answers which path, and how it is served."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NoReturn

from aiohttp import web

from . import (
    audio,
    chat,
    completions,
    embeddings,
    files,
    images,
    models,
    moderations,
    realtime,
    recording,
    responses,
    responses_socket,
)
from .calls import Call
from .errors import ApiError
from .exchanges import Endpoint, route
from .sockets import route_socket

MAX_HEADER_BYTES = 128 * 1024  # above what a proxy lets through, so that it is never us who refuse

ENDPOINTS: tuple[tuple[str, str, Endpoint], ...] = (
    ("POST", "/v1/chat/completions", chat.create),
    ("POST", "/v1/responses", responses.create),
    ("POST", "/v1/completions", completions.create),
    ("POST", "/v1/embeddings", embeddings.create),
    ("POST", "/v1/moderations", moderations.create),
    ("GET", "/v1/models", models.list_all),
    ("GET", "/v1/models/{model}", models.retrieve),
    ("POST", "/v1/audio/speech", audio.speech),
    ("POST", "/v1/audio/transcriptions", audio.transcription),
    ("POST", "/v1/images/generations", images.generate),
    ("POST", "/v1/files", files.upload),
    ("GET", "/v1/files", files.list_all),
    ("GET", "/v1/files/{file_id}", files.retrieve),
    ("DELETE", "/v1/files/{file_id}", files.delete),
    ("GET", "/v1/files/{file_id}/content", files.content),
)


def create_app(*, record: bool = True) -> web.Application:
    """With `record=False` requests are counted but not remembered. Serve it with `running` or `serve`."""
    app = web.Application()
    app[recording.LOG] = recording.RequestLog(remember=record)
    app[files.FILES] = {}
    for method, path, endpoint in ENDPOINTS:
        app.router.add_route(method, path, route(endpoint))
    app.router.add_get("/v1/realtime", route_socket(realtime.converse))
    app.router.add_get("/v1/responses", route_socket(responses_socket.converse))
    app.router.add_get("/_fake/requests", recording.list_requests)
    app.router.add_delete("/_fake/requests", recording.clear_requests)
    app.router.add_get("/_fake/stats", recording.stats)
    app.router.add_route("*", "/{anything:.*}", route(_unknown_url))
    return app


async def serve(host: str, port: int, on_ready: Callable[[str], None], *, record: bool = True) -> None:
    """Serve until cancelled. `on_ready` is told the base URL; port 0 binds a free one."""
    async with running(create_app(record=record), host, port) as base_url:
        on_ready(base_url)
        await asyncio.get_running_loop().create_future()


@asynccontextmanager
async def running(app: web.Application, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve `app` inside the block and yield its base URL, such as `http://127.0.0.1:34567/v1`."""
    runner = web.AppRunner(
        app,
        access_log=None,
        handler_cancellation=True,  # a client's hang-up ends its handler at once
        auto_decompress=False,  # what is recorded is what was sent
        shutdown_timeout=0.1,
        max_line_size=MAX_HEADER_BYTES,
        max_field_size=MAX_HEADER_BYTES,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=1024).start()
        address, bound_port = runner.addresses[0][:2]
        yield f"http://{f'[{address}]' if ':' in address else address}:{bound_port}/v1"
    finally:
        await runner.cleanup()


def _unknown_url(call: Call) -> NoReturn:
    raise ApiError(404, f"Invalid URL ({call.request.method} {call.request.path})")

"""The application: which endpoint answers which path, and how it is served."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
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
from .background import FINISHED, create_batch, found_or
from .calls import Call
from .errors import ApiError
from .exchanges import Endpoint, route
from .faults import KEY_FAULTS, SEEN, set_key_faults
from .generic import answer_to
from .operations import published
from .sockets import route_socket

MAX_HEADER_BYTES = 128 * 1024  # above what a proxy lets through, so that it is never us who refuse

PREFIX = "/openai"
"""Everything is there too, as at Azure, below a path of its own."""

ENDPOINTS: tuple[tuple[str, str, Endpoint], ...] = (
    ("POST", "/v1/chat/completions", chat.create),
    ("POST", "/v1/responses", responses.create),
    ("POST", "/v1/batches", create_batch),
    ("POST", "/v1/completions", completions.create),
    ("POST", "/v1/embeddings", embeddings.create),
    ("POST", "/v1/moderations", moderations.create),
    ("GET", "/v1/models", models.list_all),
    ("GET", "/v1/models/{model}", models.retrieve),
    ("POST", "/v1/audio/speech", audio.speech),
    ("POST", "/v1/audio/transcriptions", audio.transcription),
    ("POST", "/v1/audio/translations", audio.transcription),
    ("POST", "/v1/images/generations", images.generate),
    ("POST", "/v1/files", files.upload),
    ("GET", "/v1/files", files.list_all),
    ("GET", "/v1/files/{file_id}", files.retrieve),
    ("DELETE", "/v1/files/{file_id}", files.delete),
    ("GET", "/v1/files/{file_id}/content", files.content),
)


_OF_WORK = {
    ("GET", "/v1/responses/{}"),
    ("GET", "/v1/batches/{}"),
    ("GET", "/v1/threads/{}/runs/{}"),
    ("POST", "/v1/threads/{}/runs/{}/cancel"),
    ("POST", "/v1/threads/{}/runs/{}/submit_tool_outputs"),
}


def create_app(*, record: bool = True) -> web.Application:
    """With `record=False` requests are counted but not remembered. Serve it with `running` or `serve`."""
    app = web.Application()
    app[recording.LOG] = recording.RequestLog(remember=record)
    app[KEY_FAULTS], app[SEEN] = {}, Counter()
    app[files.FILES] = {}
    app[FINISHED] = {}
    for base in ("/v1", f"{PREFIX}/v1"):
        app.router.add_get(f"{base}/realtime", route_socket(realtime.converse))
        app.router.add_get(f"{base}/responses", route_socket(responses_socket.converse))
    for method, path, endpoint in (*ENDPOINTS, *_generic_endpoints()):
        for served in ("GET", "HEAD") if method == "GET" else (method,):
            app.router.add_route(served, path, route(endpoint))
            app.router.add_route(served, f"{PREFIX}{path}", route(endpoint))
    app.router.add_get("/_fake/requests", recording.list_requests)
    app.router.add_delete("/_fake/requests", recording.clear_requests)
    app.router.add_put("/_fake/keys/{key}", set_key_faults)
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


def _generic_endpoints() -> Iterator[tuple[str, str, Endpoint]]:
    """Of the published operations that have none of their own, literal paths before those with variables."""
    known = {(method, re.sub(r"\{\w+\}", "{}", path)) for method, path, _ in ENDPOINTS}
    for operation in sorted(published(), key=lambda operation: operation.shape.count("{}")):
        key = operation.method, f"/v1{operation.shape}"
        if key not in known and not operation.is_admin:
            known.add(key)
            answer = answer_to(operation)
            yield operation.method, f"/v1{operation.path}", found_or(answer) if key in _OF_WORK else answer


def _unknown_url(call: Call) -> NoReturn:
    raise ApiError(404, f"Invalid URL ({call.request.method} {call.request.path})")

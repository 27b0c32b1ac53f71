"""All of OpenAI's published operations are answered."""

import asyncio
import json

import pytest

from llm_proxy_site.fake_upstream.operations import Operation, published

from .upstream import Upstream

RUN_USAGE = {"prompt_tokens": 10, "completion_tokens": 8, "total_tokens": 18}
SERVED = [operation for operation in published() if not operation.is_admin and not operation.query]


async def _ask(upstream: Upstream, method: str, path: str, **options: object) -> tuple[int, str, bytes]:
    async with upstream.session.request(method, upstream.base_url + path, **options) as response:
        return response.status, response.headers.get("content-type", ""), await response.read()


async def test_every_operation_is_known_but_those_of_the_admin_surface(upstream: Upstream) -> None:
    for operation in published():
        path = operation.path.replace("{", "x").replace("}", "x")
        _, _, body = await _ask(upstream, operation.method, path)
        assert (b"Invalid URL" in body) == operation.is_admin, operation


@pytest.mark.parametrize(
    ("method", "path", "members"),
    [
        ("POST", "/vector_stores", {"object": "vector_store", "name": "books"}),
        ("POST", "/threads/t/runs/r/cancel", {"object": "thread.run"}),
        ("GET", "/batches/b1", {"object": "batch", "id": "b1"}),
        ("DELETE", "/assistants/a1", {"object": "assistant.deleted", "id": "a1", "deleted": True}),
        ("GET", "/evals", {"object": "list", "has_more": False}),
        ("POST", "/vector_stores/v/search", {"object": "list"}),
        ("POST", "/threads/runs", {"object": "thread.run", "status": "queued", "usage": None}),
        ("GET", "/threads/t/runs/r", {"object": "thread.run", "status": "completed", "usage": RUN_USAGE}),
    ],
)
async def test_objects_are_like_openais(
    upstream: Upstream, method: str, path: str, members: dict[str, object]
) -> None:
    data = b'{"name":"books"}' if method == "POST" else None
    status, content_type, body = await _ask(upstream, method, path, data=data)

    assert (status, content_type) == (200, "application/json")
    assert json.loads(body).items() >= members.items()


@pytest.mark.parametrize(
    ("method", "path", "status", "content_type"),
    [
        ("POST", "/realtime/calls", 201, "application/sdp"),
        ("POST", "/evals", 201, "application/json"),
        ("GET", "/videos/v/content", 200, "video/mp4"),
        ("GET", "/videos/v/content?variant=thumbnail", 200, "image/webp"),
        ("GET", "/skills/s/content", 200, "application/zip"),
        ("GET", "/containers/c/files/f/content", 200, "application/octet-stream"),
        ("GET", "/responses/r?stream=true", 200, "text/event-stream; charset=utf-8"),
    ],
)
async def test_statuses_and_media_types_are_the_published_ones(
    upstream: Upstream, method: str, path: str, status: int, content_type: str
) -> None:
    assert (await _ask(upstream, method, path))[:2] == (status, content_type)


async def test_a_stream_ends_with_its_usage(upstream: Upstream) -> None:
    _, _, body = await _ask(upstream, "POST", "/images/edits", data=b'{"stream":true}')
    last = body.strip().split(b"\n\n")[-1]

    assert last.startswith(b"event: image_edit.completed\n")
    assert json.loads(last.partition(b"data: ")[2])["usage"]["total_tokens"]


def test_the_table_says_what_a_body_is() -> None:
    (calls,) = [operation for operation in SERVED if operation.path == "/realtime/calls"]

    assert calls == Operation(
        "POST",
        "/realtime/calls",
        "",
        ("application/sdp", "multipart/form-data"),
        201,
        ("application/sdp",),
        (),
    )


async def test_a_head_request_is_answered_without_a_body(upstream: Upstream) -> None:
    reader, writer = await asyncio.open_connection(*upstream.base_url.split("/")[2].split(":"))
    head = "{} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-test\r\n{}\r\n"
    writer.write(head.format("HEAD /v1/files/file-size-70000/content", "").encode())
    writer.write(head.format("GET /v1/models/gpt-4o", "Connection: close\r\n").encode())
    received = await reader.read(-1)
    writer.close()
    await writer.wait_closed()

    first, _, rest = received.partition(b"\r\n\r\n")
    assert b"content-length: 70000" in first.lower()
    assert rest.startswith(b"HTTP/1.1 200 OK")

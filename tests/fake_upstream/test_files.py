import hashlib
import tracemalloc
from collections.abc import AsyncIterator

import openai
import pytest
from aiohttp import FormData

from llm_proxy_site.fake_upstream import pattern, pattern_sha256

from .upstream import Sdk, Upstream


async def test_an_uploaded_file_is_counted_hashed_listed_and_deleted(client: Sdk) -> None:
    content = b"\r\n--not a boundary\r\n" * 10_000
    file = await client.files.create(file=("notes.txt", content), purpose="user_data")

    assert (file.filename, file.bytes, file.purpose) == ("notes.txt", len(content), "user_data")
    assert file.sha256 == hashlib.sha256(content).hexdigest()
    assert [listed.id async for listed in client.files.list()] == [file.id]
    assert (await client.files.retrieve(file.id)).filename == "notes.txt"
    assert (await client.files.delete(file.id)).deleted
    with pytest.raises(openai.NotFoundError):
        await client.files.retrieve(file.id)


async def test_the_content_of_an_upload_is_a_pattern_of_its_size(client: Sdk) -> None:
    file = await client.files.create(file=("data.bin", b"x" * 70_000), purpose="user_data")
    content = await client.files.content(file.id)

    assert hashlib.sha256(content.content).hexdigest() == pattern_sha256(70_000)


async def test_a_file_of_any_size_can_be_downloaded_without_an_upload(upstream: Upstream) -> None:
    async with upstream.session.get(f"{upstream.base_url}/files/file-size-300001/content") as response:
        body = await response.read()

    assert response.headers["content-length"] == "300001"
    assert body == b"".join(pattern(300_001))


async def test_an_upload_is_not_held_in_memory(upstream: Upstream) -> None:
    size = 64 * 1024 * 1024
    boundary = "x-boundary"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="big"\r\n\r\n'
    tail = (
        f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n'
        f"user_data\r\n--{boundary}--\r\n"
    )

    async def body() -> AsyncIterator[bytes]:
        yield head.encode()
        for block in pattern(size):
            yield block
        yield tail.encode()

    tracemalloc.start()
    try:
        async with upstream.session.post(
            f"{upstream.base_url}/files",
            data=body(),
            headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
        ) as response:
            file = await response.json()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (file["bytes"], file["sha256"]) == (size, pattern_sha256(size))
    assert peak < 8 * 1024 * 1024


@pytest.mark.parametrize("missing", ["file", "purpose"])
async def test_an_upload_needs_file_and_purpose(upstream: Upstream, missing: str) -> None:
    form = FormData(default_to_multipart=True)
    form.add_field("other", "1")
    if missing != "file":
        form.add_field("file", b"content", filename="name")
    if missing != "purpose":
        form.add_field("purpose", "user_data")
    async with upstream.session.post(f"{upstream.base_url}/files", data=form) as response:
        answer = await response.json()

    assert response.status == 400
    assert answer["error"]["param"] == missing

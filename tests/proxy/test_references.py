"""References in large bodies, which are searched piece by piece."""

import asyncio

import pytest

from proxy import references
from proxy.breathing import LARGE_BYTES
from proxy.references import PIECE_BYTES, refers_elsewhere, search_references

REFERENCES = [b'"file_id"', b'"item_reference"', b'"im\\u0061ge_url"']


@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize("shift", [-20, -9, -1, 0, 1, 1000])
async def test_a_reference_is_found_wherever_pieces_meet(reference: bytes, shift: int) -> None:
    at = PIECE_BYTES + shift
    body = b"a" * at + reference + b"a" * PIECE_BYTES

    assert await search_references(body)
    assert refers_elsewhere(body)


async def test_what_only_looks_like_one_is_none() -> None:
    body = b'"file" \\u00e9 \\n "image"' * (3 * PIECE_BYTES // 20)

    assert not await search_references(body)
    assert not refers_elsewhere(body)


async def test_others_run_while_a_large_body_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "PIECE_BYTES", LARGE_BYTES)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(count())
    await search_references(b"a" * (8 * LARGE_BYTES))
    other.cancel()

    assert turns >= 8

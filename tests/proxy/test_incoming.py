"""How a body is read: whole or piece by piece, and never more of it than may be."""

import pytest

from proxy.errors import RequestTooLarge
from proxy.incoming import ClientDisconnected, Incoming
from proxy.types import Message


def a_body_of(*chunks: bytes, max_body_bytes: int = 1000, is_broken: bool = False) -> Incoming:
    messages: list[Message] = [
        {"type": "http.request", "body": chunk, "more_body": is_broken or number < len(chunks)}
        for number, chunk in enumerate(chunks, 1)
    ]
    messages.append({"type": "http.disconnect"})

    async def receive() -> Message:
        return messages.pop(0)

    return Incoming(receive, max_body_bytes=max_body_bytes)


@pytest.mark.parametrize(
    "chunks", [[b""], [b"0123456789"], [b"01234", b"", b"56789"], [b"01234567", b"0123456789"]]
)
async def test_a_short_body_is_read_whole(chunks: list[bytes]) -> None:
    for read in (lambda body: body.read(), lambda body: body.read_if_short(10)):
        body = a_body_of(*chunks)
        assert await read(body) == b"".join(chunks)
        assert body.received_bytes == len(b"".join(chunks))
        assert body.body_ended


async def test_a_body_that_is_not_short_is_had_from_its_beginning() -> None:
    body = a_body_of(b"01234567", b"89a", b"b", b"c")
    assert await body.read_if_short(10) is None
    assert [chunk async for chunk in body.body()] == [b"0123456789a", b"b", b"c"]
    assert body.received_bytes == 13


async def test_a_body_may_break_off_or_be_too_large_while_it_is_seen_whether_it_is_short() -> None:
    broken, too_large = a_body_of(b"0123", is_broken=True), a_body_of(b"0123", b"4567", max_body_bytes=6)
    with pytest.raises(ClientDisconnected):
        await broken.read_if_short(10)
    with pytest.raises(RequestTooLarge):
        await too_large.read_if_short(10)
    assert isinstance(broken.failure, ClientDisconnected)
    assert isinstance(too_large.failure, RequestTooLarge)


async def test_a_body_may_be_as_large_as_was_said_last() -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": b"x" * 11, "more_body": False}

    body = Incoming(receive, max_body_bytes=1)
    body.permit_body(11, declared_bytes=11)
    assert len(await body.read()) == 11
    for declared_bytes in (None, 10):
        body = Incoming(receive, max_body_bytes=1000)
        body.permit_body(10, declared_bytes=declared_bytes)
        with pytest.raises(RequestTooLarge):
            await body.read()
    with pytest.raises(RequestTooLarge):
        body.permit_body(10, declared_bytes=11)

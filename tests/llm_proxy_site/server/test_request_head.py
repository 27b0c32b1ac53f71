"""A head is one thing to all readers, or refused: wherever its bytes are cut."""

import pytest

from llm_proxy_site.server.request_head import HeadReader, HeadRefusedError, RequestHead
from tests.llm_proxy_site.server.framed import HOST


def read(*parts: bytes) -> RequestHead | None:
    reader, head = HeadReader(), None
    for part in parts:
        head, _ = reader.feed(part)
    return head


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-A: b\rc", 400),
        (b"GET /" + b"a" * 66_000, 431),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 201 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n X: y\r\n\r\n", 400),
    ],
)
def test_what_is_no_head_is_refused_as_soon_as_it_is_seen(head: bytes, status: int) -> None:
    for size in (1, len(head)):
        with pytest.raises(HeadRefusedError) as refused:
            read(*(head[at : at + size] for at in range(0, len(head), size)))
        assert refused.value.status == status


@pytest.mark.parametrize("lengths", [b"5", b"5, 5", b"+5", b"-5", b"0x5", b"", b"5 5", b"9" * 31])
def test_a_length_is_one_number(lengths: bytes) -> None:
    twice = b"Content-Length: 5\r\n" if lengths == b"5" else b""
    with pytest.raises(HeadRefusedError):
        read(b"POST / HTTP/1.1\r\n" + HOST + twice + b"Content-Length: %b\r\n\r\n" % lengths)


def test_values_are_without_the_blanks_around_them() -> None:
    head = read(b"GET / HTTP/1.1\r\nHost:\tx \r\nX-A:a \t b\t \r\nX-B: \r\nX-C:\r\n\r\n")

    assert head is not None
    assert head.headers == [(b"host", b"x"), (b"x-a", b"a \t b"), (b"x-b", b""), (b"x-c", b"")]
    assert head.length == 0


@pytest.mark.parametrize(("version", "expects"), [(b"1.1", True), (b"1.0", False)])
def test_only_http_1_1_waits_to_be_told_to_go_on(version: bytes, expects: bool) -> None:
    lines = HOST + b"Content-Length: 5\r\nExpect: 100-Continue\r\n\r\n"
    head = read(b"POST / HTTP/" + version + b"\r\n" + lines)

    assert head is not None
    assert head.expects_continue is expects


def test_applications_are_not_told_of_names_that_could_be_taken_for_others() -> None:
    lines = HOST + b"X_Real_IP: 1.2.3.4\r\nDaphne-Root-Path: /x\r\nX-A: b\r\n\r\n"
    head = read(b"GET /a%20b;c?d=%20e HTTP/1.1\r\n" + lines)

    assert head is not None
    scope = head.scope(["127.0.0.1", 1], ["127.0.0.1", 2])
    assert scope["headers"] == [(b"host", b"proxy.example"), (b"x-a", b"b")]
    assert (scope["path"], scope["raw_path"]) == ("/a b;c", b"/a%20b;c")
    assert scope["query_string"] == b"d=%20e"

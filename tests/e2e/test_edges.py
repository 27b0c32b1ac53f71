"""The edges of HTTP: each request passes exactly as it is, or is refused with an answer of ours.
What reaches upstream is never two requests where the client sent one.
"""

import base64
from typing import Any
from uuid import uuid4

import pytest

from tests.factories import issue_token
from tests.live import LiveProxy, eventually
from tests.wire import connected, exchange, head, statuses
from usage.models import UsageRecord

CHAT = b'{"model":"gpt-4o","messages":[]}'
GET = "GET /v1/models HTTP/1.1"
POST = "POST /v1/chat/completions HTTP/1.1"
CHUNKED = "Transfer-Encoding: chunked"
SMUGGLED = "GET /v1/files?smuggled={marker} HTTP/1.1\r\nHost: x\r\n{authorization}\r\n\r\n"


class Wire:
    """A client with a token, whose requests are recognised upstream by their marker."""

    def __init__(self, live: LiveProxy) -> None:
        self.live = live
        self.token, plain = issue_token()
        self.marker = f"edge-{uuid4()}"
        self.own = [f"Authorization: Bearer {plain}", f"X-Marker: {self.marker}"]

    def send(self, line: str, *headers: str, body: bytes = b"") -> bytes:
        """All that is answered; the connection is closed then."""
        return exchange(self.live.url, head(line, *self.own, *headers) + body)

    def send_closing(self, line: str, *headers: str, body: bytes = b"") -> bytes:
        return self.send(line, "Connection: close", *headers, body=body)

    def upstream(self) -> list[dict[str, Any]]:
        return self.live.upstream_requests(self.marker)


@pytest.fixture
def wire(live: LiveProxy) -> Wire:
    return Wire(live)


@pytest.mark.parametrize(
    ("line", "headers", "body"),
    [
        ("GET http://proxy.example/v1/models HTTP/1.1", [], b""),
        ("GET https://api.example/v1/models HTTP/1.1", [], b""),
        ("GET v1/models HTTP/1.1", [], b""),
        ("CONNECT api.example:443 HTTP/1.1", [], b""),
        ("OPTIONS * HTTP/1.1", [], b""),
        ("GET /v1/models#part HTTP/1.1", [], b""),
        ("GET /v1/models?a=1#part HTTP/1.1", [], b""),
        ("GET /v1/mod\0els HTTP/1.1", [], b""),
        ("GET /v1/files/caf\xe9 HTTP/1.1", [], b""),
        ("GET /v1/files?q=caf\xe9 HTTP/1.1", [], b""),
        ("GET  /v1/models HTTP/1.1", [], b""),
        ("GET\t/v1/models\tHTTP/1.1", [], b""),
        ("GET /v1/models HTTP/1.2", [], b""),
        ("GET /v1/models", [], b""),
        (GET, ["X-A: one\r\n two"], b""),
        (POST, ["Transfer-Encoding:\r\n chunked"], b"0\r\n\r\n"),
        (GET, ["X A: one"], b""),
        (GET, ["X-A : one"], b""),
        (POST, ["Content-Length : 5"], b"hello"),
        (GET, [": one"], b""),
        (GET, ["X-A"], b""),
        (GET, ["X-A: one\nX-B: two"], b""),
        (GET, ["X-A: one\rX-B: two"], b""),
        (GET, ["X-A: one\0two"], b""),
        (GET, ["X\0A: one"], b""),
        (GET, ["X-A: \x0bone"], b""),
        (GET, ["Host: another.example"], b""),
        (POST, ["Content-Length: 5", "Content-Length: 5"], b"hello"),
        (POST, ["Content-Length: 5", "Content-Length: 6"], b"hello"),
        (POST, ["Content-Length: 5, 5"], b"hello"),
        (POST, ["Content-Length: +5"], b"hello"),
        (POST, ["Content-Length: -5"], b"hello"),
        (POST, ["Content-Length: 0x5"], b"hello"),
        (POST, ["Content-Length: " + "9" * 5000], b"hello"),
        (POST, ["Content-Length: 5", CHUNKED], b"0\r\n\r\n"),
        (POST, [CHUNKED, "Content-Length: 5"], b"0\r\n\r\n"),
        (POST, [CHUNKED, CHUNKED], b"0\r\n\r\n"),
        (POST, ["Transfer-Encoding: gzip, chunked"], b"0\r\n\r\n"),
        (POST, ["Transfer-Encoding: chunked, identity"], b"0\r\n\r\n"),
        (POST, ["Transfer-Encoding: identity", "Content-Length: 5"], b"hello"),
        (POST, ["Transfer-Encoding: identity", CHUNKED], b"0\r\n\r\n"),
        (POST, ["Transfer-Encoding: xchunked"], b"0\r\n\r\n"),
        (POST, ["Transfer-Encoding: \x0bchunked"], b"0\r\n\r\n"),
        (POST.replace("1.1", "1.0"), [CHUNKED], b"0\r\n\r\n"),
        (POST, [CHUNKED], b"5\nhello\n0\n\n"),
        (POST, [CHUNKED], b"-5\r\nhello\r\n0\r\n\r\n"),
        (POST, [CHUNKED], b"0x5\r\nhello\r\n0\r\n\r\n"),
        (POST, [CHUNKED], b"5;a=\nb\r\nhello\r\n0\r\n\r\n"),
        (POST, [CHUNKED], b"5 \r\nhello\r\n0\r\n\r\n"),
        (POST, [CHUNKED], b"0\r\nX: 1\n\n"),
        (POST, ["Expect: 200-ok", "Content-Length: 2"], b"{}"),
    ],
)
def test_what_is_no_plain_http_is_refused_and_does_not_reach_upstream(
    wire: Wire, line: str, headers: list[str], body: bytes
) -> None:
    smuggled = SMUGGLED.format(marker=wire.marker, authorization=wire.own[0]).encode()
    answer = wire.send(line, *headers, body=body + smuggled)

    assert statuses(answer) == [400]
    assert b'"code":"bad_request"' in answer
    # What had begun may have been on its way upstream: it never looks whole there.
    assert [request["state"] for request in wire.upstream() if request["state"] == "finished"] == []


@pytest.mark.parametrize("line_end", ["\n", "\r"])
def test_a_head_with_other_line_ends_is_refused(wire: Wire, line_end: str) -> None:
    request = head(GET, *wire.own).decode().replace("\r\n", line_end) + "\r\n\r\n"

    assert statuses(exchange(wire.live.url, request.encode())) == [400]
    assert wire.upstream() == []


def test_a_request_without_a_host_is_refused(wire: Wire) -> None:
    request = f"{GET}\r\n{wire.own[0]}\r\n{wire.own[1]}\r\n\r\n"

    assert statuses(exchange(wire.live.url, request.encode())) == [400]
    assert wire.upstream() == []


@pytest.mark.parametrize(
    ("line", "headers"),
    [
        (f"GET /v1/models?{'a' * 70_000} HTTP/1.1", []),
        (GET, ["X-A: " + "a" * 70_000]),
        (GET, ["X-A: " + "a" * 490] * 150),
        (GET, ["X-A: 1"] * 201),
    ],
)
def test_a_head_of_more_than_64_kib_or_200_headers_is_refused(
    wire: Wire, line: str, headers: list[str]
) -> None:
    answer = wire.send(line, *headers)

    assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert b'"code":"request_too_large"' in answer
    assert wire.upstream() == []


def test_a_head_of_60_kib_passes(wire: Wire) -> None:
    value, query = "a" * 30_000, "b" * 30_000
    answer = wire.send_closing(f"GET /v1/models?{query} HTTP/1.1", f"X-Long: {value}")

    assert statuses(answer) == [200]
    (request,) = wire.upstream()
    assert request["target"] == f"/v1/models?{query}"
    assert ["x-long", value] in request["headers"]


@pytest.mark.parametrize(
    "target",
    [
        "/v1//models",
        "/v1/./models",
        "/v1/files/../models",
        "/v1/files/%2e%2e/models",
        "/v1/files/%2E%2E",
        "/v1/files/.%2e",
        "/v1/files/..",
        "/v1/files/%2e",
        "/v1%2fmodels",
        "/v1/files%2ffile-1",
        "/v1/files/a%2fb",
        "/v1/files/a%5cb",
        "/v1/files/a\\b",
        "/v1/files/a%00b",
        "/v1/files/a%",
        "/v1/files/a%zz",
        "/v1/models;x=1",
        "/v1/files/a;b",
        "/v1/files;/../organization/users",
        "/v1/Models",
        "/v1/models/",
        "/v1/%6dodels",
        "/%761/models",
        "/v1/organization/users",
        "/v1/ORGANIZATION/users",
        "/v1/projects/p/roles",
        "/v1",
        "/v1/",
        "//v1/models",
        "///v1/models",
        "//v1",
        "/V1/models",
        "/V1",
    ],
)
def test_a_path_that_is_not_exactly_a_listed_one_is_refused(wire: Wire, target: str) -> None:
    answer = wire.send_closing(f"GET {target} HTTP/1.1")

    assert statuses(answer) == [404]
    assert b'"code":"endpoint_not_found"' in answer
    assert wire.upstream() == []


@pytest.mark.parametrize("target", ["/%2e%2e/v1/models", "/x/../v1/models", "/v1\\models", "/v11/models"])
def test_a_path_outside_v1_does_not_reach_upstream(wire: Wire, target: str) -> None:
    answer = exchange(
        wire.live.url,
        f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{wire.own[0]}\r\n\r\n".encode(),
    )

    assert statuses(answer) in ([404], [302])
    assert wire.upstream() == []


@pytest.mark.parametrize(
    "query",
    [
        "a=1&a=2&a=1",
        "include[]=x&include[]=y",
        "include%5B%5D=x",
        "q=%7E%2f%2F+%20",
        "a=&b&=c&&",
        "a=?b",
        "q=%zz%",
        "q=|\"<>\\^`{}'",
        "metadata[k]=v&x=http://host/../y",
    ],
)
def test_a_query_passes_as_it_is(wire: Wire, query: str) -> None:
    assert statuses(wire.send_closing(f"GET /v1/models?{query} HTTP/1.1")) == [200]

    (request,) = wire.upstream()
    assert request["target"] == f"/v1/models?{query}"


@pytest.mark.parametrize(
    "header",
    [
        "X-HTTP-Method-Override: DELETE",
        "X-HTTP-Method: DELETE",
        "X-Method-Override: DELETE",
        "X-Original-URL: /v1/organization/users",
        "X-Rewrite-URL: /v1/organization/users",
        "Daphne-Root-Path: /x",
        "X_HTTP_Method_Override: DELETE",
    ],
)
def test_what_overrides_method_or_path_is_not_honoured_and_does_not_pass(wire: Wire, header: str) -> None:
    assert statuses(wire.send_closing("GET /v1/models/gpt-4o HTTP/1.1", header)) == [200]

    (request,) = wire.upstream()
    assert (request["method"], request["target"]) == ("GET", "/v1/models/gpt-4o")
    assert not [name for name, _ in request["headers"] if name.lower() == header.partition(":")[0].lower()]


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PUT", "PATCH", "get", "DELETE", "X-CUSTOM"])
def test_a_method_that_is_not_listed_is_refused(wire: Wire, method: str) -> None:
    answer = wire.send_closing(f"{method} /v1/models HTTP/1.1")

    assert statuses(answer) == [405]
    assert wire.upstream() == []


def test_a_head_request_has_the_headers_of_a_get_and_no_body(wire: Wire) -> None:
    received = wire.send_closing("HEAD /v1/files/file-size-70000/content HTTP/1.1")

    assert statuses(received) == [200]
    assert b"content-length: 70000\r\n" in received.lower()
    assert received.endswith(b"\r\n\r\n")
    (request,) = wire.upstream()
    assert request["method"] == "HEAD"


def test_a_header_that_is_not_utf8_is_refused(wire: Wire) -> None:
    answer = wire.send_closing(GET, "X-Name: caf\xe9")

    assert statuses(answer) == [400]
    assert wire.upstream() == []


def test_headers_of_utf8_and_empty_ones_pass_as_they_are(wire: Wire) -> None:
    assert statuses(wire.send_closing(GET, "X-Name: café".encode().decode("latin-1"), "X-Empty:")) == [200]

    (request,) = wire.upstream()
    assert ["x-name", "café".encode().decode("latin-1")] in request["headers"]
    assert ["x-empty", ""] in request["headers"]


@pytest.mark.parametrize(
    "body",
    [
        b"%x\r\n%b\r\n0\r\n\r\n",
        b'%x;name=value;quoted="a;b"\r\n%b\r\n0\r\n\r\n',
        b"0000%x\r\n%b\r\n0;last\r\n\r\n",
        b"%X\r\n%b\r\n000\r\nX-Trailer: 1\r\nContent-Length: 3\r\nAuthorization: Bearer x\r\n\r\n",
    ],
)
def test_chunks_extensions_and_trailers_are_understood_and_do_not_pass(wire: Wire, body: bytes) -> None:
    answer = wire.send_closing(POST, CHUNKED, "Content-Type: application/json", body=body % (len(CHAT), CHAT))

    assert statuses(answer) == [200]
    (request,) = wire.upstream()
    assert base64.b64decode(request["body_base64"]) == CHAT
    assert not [name for name, _ in request["headers"] if name.lower() == "x-trailer"]


@pytest.mark.parametrize("coding", ["content-length", "chunked"])
def test_a_body_that_looks_like_a_request_is_a_body(wire: Wire, coding: str) -> None:
    smuggled = SMUGGLED.format(marker=wire.marker, authorization=wire.own[0]).encode()
    if coding == "chunked":
        answer = wire.send_closing(GET, CHUNKED, body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(smuggled), smuggled))
    else:
        answer = wire.send_closing(GET, f"Content-Length: {len(smuggled)}", body=smuggled)

    assert statuses(answer) == [200]
    (request,) = wire.upstream()
    assert (request["target"], request["body_bytes"]) == ("/v1/models", len(smuggled))


def test_a_chunked_body_that_lies_is_broken_off_on_both_sides(wire: Wire) -> None:
    answer = wire.send(POST, CHUNKED, "Content-Type: application/x-other", body=b"3\r\nhello\r\n0\r\n\r\n")

    assert statuses(answer) == [400]
    record = eventually(lambda: UsageRecord.objects.filter(token=wire.token).first())
    assert record.outcome == "client_closed"
    assert [request["state"] for request in wire.upstream() if request["state"] != "closed_by_client"] == []


def test_a_declared_length_that_is_not_kept_is_a_hangup(wire: Wire) -> None:
    with connected(wire.live.url) as connection:
        connection.sendall(head(POST, *wire.own, "Content-Type: x/y", "Content-Length: 1000") + b"short")
        eventually(wire.upstream)

    (request,) = eventually(lambda: [r for r in wire.upstream() if r["state"] != "running"])
    assert request["state"] == "closed_by_client"
    record = eventually(lambda: UsageRecord.objects.filter(token=wire.token).first())
    assert record.outcome == "client_closed"


def test_pipelined_requests_are_answered_in_their_order(wire: Wire) -> None:
    one = head("GET /v1/models?n=1 HTTP/1.1", *wire.own)
    two = head(POST, *wire.own, f"Content-Length: {len(CHAT)}", "Content-Type: application/json") + CHAT
    bad = head("GET /v1/nowhere HTTP/1.1", *wire.own)
    last = head("GET /v1/models?n=4 HTTP/1.1", *wire.own, "Connection: keep-alive, close")
    received = exchange(wire.live.url, one + two + bad + last + one)

    assert statuses(received) == [200, 200, 404, 200]  # nothing follows a close
    assert [request["target"] for request in wire.upstream()] == [
        "/v1/models?n=1",
        "/v1/chat/completions",
        "/v1/models?n=4",
    ]


def test_what_is_refused_behind_a_pipelined_request_is_answered_after_it(wire: Wire) -> None:
    good = head(GET, *wire.own)
    bad = head(POST, *wire.own, "Content-Length: 5", CHUNKED) + b"0\r\n\r\n"
    received = exchange(wire.live.url, good + bad + good)

    assert statuses(received) == [200, 400]
    assert len(wire.upstream()) == 1


@pytest.mark.parametrize(
    ("framing", "body"),
    [(f"Content-Length: {len(CHAT)}", CHAT), (CHUNKED, b"%x\r\n%b\r\n0\r\n\r\n" % (len(CHAT), CHAT))],
)
def test_a_client_that_expects_100_gets_it_when_its_body_is_wanted(
    wire: Wire, framing: str, body: bytes
) -> None:
    with connected(wire.live.url) as connection:
        headers = ["Content-Type: application/json", "Expect: 100-Continue", "Connection: close", framing]
        connection.sendall(head(POST, *wire.own, *headers))
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        received = b"".join(iter(lambda: connection.recv(65536), b""))

    assert statuses(received) == [200]
    (request,) = wire.upstream()
    assert base64.b64decode(request["body_base64"]) == CHAT
    assert not [name for name, _ in request["headers"] if name.lower() == "expect"]


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data; boundary=x"])
def test_a_client_that_expects_100_and_is_refused_is_told_so_at_once(
    live: LiveProxy, content_type: str
) -> None:
    with connected(live.url) as connection:
        connection.sendall(
            head(
                "POST /v1/files HTTP/1.1",
                "Authorization: Bearer sk-wt-wrong",
                "Expect: 100-continue",
                f"Content-Type: {content_type}",
                "Content-Length: 500000000",
            )
        )
        received = connection.recv(65536)

    assert received.startswith(b"HTTP/1.1 401")
    assert b"connection: close" in received.lower()


def test_nobody_is_told_100_who_sends_his_body_anyway(wire: Wire) -> None:
    length = f"Content-Length: {len(CHAT)}"
    answer = wire.send_closing(POST, "Expect: 100-continue", length, body=CHAT)

    assert statuses(answer) == [200]

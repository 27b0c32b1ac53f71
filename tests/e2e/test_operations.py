"""Every operation of OpenAI's published API: bytes and headers are the same both ways, compared on the wire
with a direct call, and each request is one row of the ledger. What must not pass does not.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

import pytest
from django.conf import settings as django_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_proxy_site.fake_upstream.operations import Operation, published
from proxy.metering.splice import asking_for_usage
from proxy.providers import load_providers
from tests.factories import UPSTREAM_KEY, issue_token
from tests.live import LiveProxy, eventually
from tests.wire import Answer, answer_on, connected, end_to_end, head
from usage.models import UsageRecord

ENDPOINTS = load_providers(Path(django_settings.BASE_DIR) / "proxy/providers.yaml").default.endpoints
SERVED = [operation for operation in published() if not operation.is_admin]
FAMILIES = sorted({operation.words[0] for operation in SERVED})

JSON = (
    b'{"model": "gpt-4o",  "messages":[{"role":"user","content":"Hi"}], "input": "Hi",\n\t"prompt": "Hi", '
    b'"voice": "alloy", "unknown": [1.0, 1e3, -0, 12345678901234567890, "\\u00e9\\ud83d\\ude00", null], '
    b'"a": {"a": {}}, "a": 2%b}\r\n '
)
BOUNDARY = "a'b(c)+_,-./:=?"
BINARY = bytes(range(256)) + b"\r\n--a'b(c)\r\n\r\n--\n" + bytes(range(255, -1, -1))
FORM = b"\r\n".join(
    [
        *(
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()
            for name, value in (
                ("model", "gpt-4o"),
                ("purpose", "batch"),
                ("unknown", ""),
                ("metadata[k]", "é"),
            )
        ),
        b"%b",
        f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="a \\"b\\".bin"\r\n'
        "Content-Type: application/x-odd\r\nX-Part: 1\r\n\r\n".encode()
        + BINARY,
        f"--{BOUNDARY}--\r\n".encode(),
    ]
)
STREAM_FIELD = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="stream"\r\n\r\ntrue\r\n'.encode()
SDP = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"
HEADERS = [
    "Accept: application/json, */*;q=0.1",
    "Accept-Encoding: identity",
    "User-Agent: odd/1.0 (é)".encode().decode("latin-1"),
    "OpenAI-Beta: assistants=v2, realtime=v1",
    "X-Unknown: one",
    "X-Unknown: two",
    "X-Unknown: one, two",
    "X-Empty:",
    "X-Fake-Seed: same",
    "Idempotency-Key: stainless-python-retry-1",
    "X-Stainless-Retry-Count: 0",
]
IDS = {"file_id": "file-size-3000", "model": "gpt-4o"}
ODD_IDS = ["a%20b", "ft:gpt-4o:org::x@1", "%C3%A9", "a+b", "~.-_", "a%2Cb", "%7Ex", "(x)!*'$&=,"]


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    """Below /v1."""
    headers: list[str] = field(default_factory=list)
    chunks: tuple[bytes, ...] = ()
    is_chunked: bool = False
    marker: str = field(default_factory=lambda: f"operation-{uuid4()}")

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    def ask(self, base_url: str, key: str) -> Answer:
        framing = "Transfer-Encoding: chunked" if self.is_chunked else f"Content-Length: {len(self.body)}"
        lines = [f"Authorization: Bearer {key}", f"X-Marker: {self.marker}", framing, *self.headers]
        with connected(base_url) as connection:
            connection.sendall(head(f"{self.method} /v1{self.target} HTTP/1.1", *lines))
            for chunk in self.chunks:
                connection.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk) if self.is_chunked else chunk)
            if self.is_chunked:
                connection.sendall(b"0\r\n\r\n")
            return answer_on(connection, self.method)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_operation_passes_both_ways_byte_by_byte_and_is_counted(live: LiveProxy, family: str) -> None:
    token, plain = issue_token()
    passed: list[Request] = []
    expected: list[tuple[str, str, str, int, int, int]] = []
    for operation in SERVED:
        if operation.words[0] != family or _leads_past_us(operation):
            continue
        for request in _requests(operation):
            answer = _same_both_ways(live, request, plain)
            passed.append(request)
            sizes = len(request.body), len(answer.body)
            endpoint = re.sub(r"\{\w+\}", "{id}", operation.path)
            path = request.target.partition("?")[0]
            expected.append((operation.method, endpoint, path, answer.status, *sizes))

    records = eventually(lambda: (all_ := _records(token)) and len(all_) >= len(passed) and all_)
    assert [(r.method, r.endpoint, r.path, r.status, r.request_bytes, r.response_bytes) for r in records] == [
        (method, endpoint, _decoded(path), *rest) for method, endpoint, path, *rest in expected
    ]
    assert {(record.outcome, record.is_admitted) for record in records} <= {("completed", True)}


def test_what_leads_past_us_is_refused(live: LiveProxy) -> None:
    refused = [operation for operation in SERVED if _leads_past_us(operation)]

    assert {operation.path for operation in refused} >= {"/realtime/client_secrets", "/realtime/calls"}
    _are_refused(live, refused, 403, "endpoint_not_permitted")


@pytest.mark.parametrize("family", ["organization", "projects"])
def test_upstreams_admin_surface_is_refused(live: LiveProxy, family: str) -> None:
    refused = [operation for operation in published() if operation.words[0] == family]

    assert len(refused) > 10
    _are_refused(live, refused, 404, "endpoint_not_found")


def _are_refused(live: LiveProxy, operations: list[Operation], status: int, code: str) -> None:
    token, plain = issue_token()
    run = f"refused-{uuid4()}"
    asked = 0
    for operation in operations:
        for request in _requests(operation):
            answer = Request(
                request.method, request.target, [*request.headers, f"X-Run: {run}"], request.chunks
            ).ask(live.url, plain)
            asked += 1
            assert (answer.status, f'"code":"{code}"'.encode() in answer.body) == (status, True), request

    assert live.upstream_requests(run) == []
    records = eventually(lambda: (all_ := _records(token)) and len(all_) >= asked and all_)
    assert [(r.outcome, r.error_code, r.is_admitted) for r in records] == [("refused", code, False)] * asked


def _same_both_ways(live: LiveProxy, request: Request, plain: str) -> Answer:
    direct = request.ask(live.upstream_url, UPSTREAM_KEY)
    proxied = request.ask(live.url, plain)
    first, second = live.upstream_requests(request.marker)

    assert proxied == direct, request
    assert second["target"] == f"/v1{request.target}"
    assert second["method"] == request.method
    body = _sent_on(request)
    assert second["body_bytes"] == len(body)
    assert second["body_sha256"] == hashlib.sha256(body).hexdigest()
    assert _comparable(second) == _comparable(first)
    return proxied


def _sent_on(request: Request) -> bytes:
    """The body as upstream gets it: as it is, but for the question for a stream's usage."""
    endpoint = ENDPOINTS.find(request.target.partition("?")[0])
    if (
        endpoint is None
        or not endpoint.asks_usage
        or request.is_chunked
        or b'"stream":true' not in request.body
    ):
        return request.body
    asking = asking_for_usage(request.body)
    assert asking is not None
    return asking


def _comparable(recorded: dict[str, Any]) -> list[tuple[str, str]]:
    """A chunked body may be sent on with its length, and one is us, the other upstream."""
    return [
        header for header in end_to_end(recorded["headers"]) if header[0] not in ("host", "content-length")
    ]


def _requests(operation: Operation) -> Iterator[Request]:
    """One for each media type of the operation, and one more where its answer can be a stream."""
    streams = [False, True] if "text/event-stream" in operation.response_types else [False]
    for is_stream in streams:
        for media_type in operation.request_types or ("",):
            headers, body = _content(media_type, is_stream)
            yield Request(
                operation.method, _path(operation) + _query(operation), [*HEADERS, *headers], _cut(body)
            )


def _content(media_type: str, is_stream: bool) -> tuple[list[str], bytes]:
    match media_type:
        case "application/json":
            content_type = "application/json; charset=utf-8; odd=1"
            return [f"Content-Type: {content_type}"], JSON % (b', "stream":true' if is_stream else b"")
        case "multipart/form-data":
            content_type = f'multipart/form-data; boundary="{BOUNDARY}"'
            return [f"Content-Type: {content_type}"], FORM.replace(b"%b\r\n", STREAM_FIELD * is_stream, 1)
        case "application/sdp":
            return ["Content-Type: application/sdp"], SDP
        case _:
            return [], b""


def _path(operation: Operation) -> str:
    odd = iter(ODD_IDS)
    return re.sub(r"\{(\w+)\}", lambda found: IDS.get(found[1]) or next(odd), operation.path)


def _query(operation: Operation) -> str:
    known = [
        f"{name}={value}" for name, value in zip(operation.parameters, cycle(["a%2Fb", "", "x+y", "%5B1%5D"]))
    ]
    odd = [
        "unknown=%7E",
        "unknown=~",
        "unknown=",
        "flag",
        "a[]=1",
        "a[]=2",
        "a[b][c]=%20+%2B",
        "q=?/:@!$'()*,;",
    ]
    return "?" + "&".join([*([operation.query] if operation.query else []), *known, *odd])


def _cut(body: bytes) -> tuple[bytes, ...]:
    return (body[: len(body) // 3], body[len(body) // 3 :])


def _leads_past_us(operation: Operation) -> bool:
    endpoint = ENDPOINTS.find(operation.path.replace("{", "").replace("}", ""))
    assert endpoint is not None, f"{operation.path} is not on the shipped allowlist"
    return endpoint.leads_past_us


def _records(token: Any) -> list[UsageRecord]:
    return list(UsageRecord.objects.filter(token=token).order_by("started_at"))


def _decoded(path: str) -> str:
    return f"/v1{unquote(path)}"


_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=20).filter(
    lambda text: b"\x85" not in text.encode()  # a line end in Latin-1: the server refuses it
)
_NAME = st.text("abcdefghijklmnopqrstuvwxyz0123456789-!#$%&'*+.^`|~", min_size=1, max_size=12)
_QUERY = st.text([chr(code) for code in range(33, 127) if chr(code) != "#"], max_size=40)
_SEGMENT = (
    st.lists(
        st.sampled_from([*"abcXYZ019-._~:@!$&'()*+,=", "%20", "%C3%A9", "%25", "%3F", "%23", "%7e"]),
        min_size=1,
        max_size=12,
    )
    .map("".join)
    .filter(lambda segment: segment.strip(".") != "")
)
_CHUNKS = st.lists(st.binary(min_size=1, max_size=2000), max_size=6).map(tuple)
_TYPE = st.sampled_from(
    ["application/json", "multipart/form-data; boundary=x", "application/sdp", "text/plain", ""]
)
"""All operations that answer whatever their body is."""
_GENERIC = st.sampled_from(
    [
        operation
        for operation in SERVED
        if operation.path.startswith(("/assistants", "/threads", "/vector", "/evals"))
    ]
)


@st.composite
def _any_request(draw: st.DrawFn) -> Request:
    operation = draw(_GENERIC)
    query = draw(_QUERY)
    headers = [
        f"X-H-{name}: {value.encode().decode('latin-1')}"
        for name, value in draw(st.lists(st.tuples(_NAME, _TEXT), max_size=8))
    ]
    content_type = draw(_TYPE)
    headers += [f"Content-Type: {content_type}"] if content_type else []
    headers += draw(st.sampled_from([[], ["Accept-Encoding: gzip", "X-Fake-Encoding: gzip"]])) or [
        "Accept-Encoding: identity"
    ]
    headers.append(f"X-Fake-Chunks: {draw(st.integers(1, 9))}")
    path = re.sub(r"\{\w+\}", lambda _: draw(_SEGMENT), operation.path)
    return Request(
        operation.method, f"{path}?{query}" if query else path, headers, draw(_CHUNKS), draw(st.booleans())
    )


def test_whatever_is_sent_passes_both_ways(live: LiveProxy) -> None:
    token, plain = issue_token()
    asked = 0

    @settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
    @given(_any_request())
    def passes(request: Request) -> None:
        nonlocal asked
        asked += 1
        _same_both_ways(live, request, plain)

    passes()
    eventually(lambda: UsageRecord.objects.filter(token=token, outcome="completed").count() == asked)


def test_where_a_body_is_cut_does_not_matter(live: LiveProxy) -> None:
    """Not even in the middle of a chunk's own marks."""
    _, plain = issue_token()
    body = JSON % b""
    framed = (
        b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:90], body[90:]))
        + b"0\r\n\r\n"
    )

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.integers(0, len(framed)), max_size=5).map(sorted))
    def passes(cuts: list[int]) -> None:
        marker = f"cut-{uuid4()}"
        with connected(live.url) as connection:
            own = [f"Authorization: Bearer {plain}", f"X-Marker: {marker}", "Transfer-Encoding: chunked"]
            connection.sendall(
                head("POST /v1/chat/completions HTTP/1.1", *own, "Content-Type: application/json")
            )
            for start, end in pairwise([0, *cuts, len(framed)]):
                connection.sendall(framed[start:end])
            assert answer_on(connection, "POST").status == 200
        (recorded,) = live.upstream_requests(marker)
        assert recorded["body_sha256"] == hashlib.sha256(body).hexdigest()

    passes()

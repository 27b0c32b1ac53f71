"""No request hides in another: whatever is done to the bytes that say where a request ends, upstream receives
what a parser of another make (h11) reads, in that order, but for what the proxy itself refuses.
"""

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import uuid4

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.factories import issue_token
from tests.live import LiveProxy
from tests.wire import statuses, talk

PIECES = [
    *(
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n\r\n",
        b" ",
        b"\t",
        b":",
        b",",
        b";",
        b"0",
        b"1",
        b"\0",
        b"\x0b",
        b"x",
        b"-",
        b"+",
    ),
    *(b"chunked", b"identity, ", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
]
SILENCE_SECONDS = 0.2

Edit = tuple[float, int, bytes]
"""Where (as a part of the whole), how many bytes are taken out, and what is put in."""
_edits = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from([0, 0, 1, 2]), st.sampled_from(PIECES)), min_size=1, max_size=3
)


class Reading(NamedTuple):
    """What was made of some bytes: method, target and the body's SHA-256 of each request."""

    answers: list[int]
    received: list[Any]
    """By upstream, whole."""
    read: list[Any]
    """By h11."""
    is_refused: bool
    """Whether h11 takes the rest for no request."""


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_request_in_a_body_is_a_body(live: LiveProxy, is_chunked: bool) -> None:
    reading = _both_read(live, issue_token()[1], is_chunked, [], silence_seconds=10)

    assert reading.received == reading.read
    assert (len(reading.read), reading.answers) == (2, [200, 200])


def test_no_request_hides_in_another(live: LiveProxy) -> None:
    _, plain = issue_token()

    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.booleans(), _edits)
    def holds(is_chunked: bool, edits: list[Edit]) -> None:
        answers, received, read, is_refused = _both_read(live, plain, is_chunked, edits)

        rest = iter(read)  # what is not among them is looked for to their end
        strange = [request for request in received if request not in rest]
        assert not strange or is_refused
        if set(answers) <= {200}:  # else one of them may be missing that the proxy has refused
            assert received[: len(read)] == read[: len(received)]

    holds()


def _both_read(
    live: LiveProxy,
    plain: str,
    is_chunked: bool,
    edits: list[Edit],
    *,
    silence_seconds: float = SILENCE_SECONDS,
) -> Reading:
    marker = f"smuggling-{uuid4()}"
    own = f"Host: x\r\nAuthorization: Bearer {plain}\r\nX-Marker: {marker}\r\n".encode()
    raw = _conversation(own, is_chunked=is_chunked, edits=edits)
    answers = statuses(talk(live, raw, silence_seconds=silence_seconds))
    received = [
        (request["method"], request["target"], request["body_sha256"])
        for request in live.upstream_requests(marker)
        if request["state"] == "finished"
    ]
    return Reading(answers, received, *_as_h11_reads(raw))


def _conversation(own: bytes, *, is_chunked: bool, edits: list[Edit]) -> bytes:
    """A request whose body is one too, and a last one. Edited is what says how long the body is."""
    hidden = b"GET /v1/models?smuggled HTTP/1.1\r\n" + own + b"\r\n"
    last = b"GET /v1/models?last HTTP/1.1\r\n" + own + b"Connection: close\r\n\r\n"
    if is_chunked:
        framing, end = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(hidden), b"\r\n0\r\n\r\n"
    else:
        framing, end = b"Content-Length: %d\r\n\r\n" % len(hidden), b""
    for place, taken, put in edits:
        at = int(place * len(framing))
        framing = framing[:at] + put + framing[at + taken :]
    return b"POST /v1/assistants HTTP/1.1\r\n" + own + framing + hidden + end + last


def _as_h11_reads(raw: bytes) -> tuple[list[tuple[str, str, str]], bool]:
    """The requests in these bytes, and whether the rest is none."""
    requests = []
    try:
        for method, target, body in _read(raw):
            requests.append((method, target, hashlib.sha256(body).hexdigest()))
    except h11.RemoteProtocolError:
        return requests, True
    return requests, False


def _read(raw: bytes) -> Iterator[tuple[str, str, bytes]]:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(raw)
    request: h11.Request | None = None
    body = b""
    while not isinstance(event := connection.next_event(), type(h11.NEED_DATA)):
        if isinstance(event, h11.Request):
            request, body = event, b""
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage) and request is not None:
            yield request.method.decode(), request.target.decode(), body
            connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is h11.MUST_CLOSE:
                return
            connection.start_next_cycle()

"""Bytes and end-to-end headers, both ways, compared on the wire with what upstream sent and received."""

import base64
import contextlib
import gzip
import json

import httpx
import pytest

from tests.factories import UPSTREAM_KEY, ProjectFactory, issue_token
from tests.live import LiveProxy, eventually
from tests.wire import end_to_end
from usage.models import UsageRecord

CHAT = b'{"model": "gpt-4o",  "unknown": [1.0, 1e3, "\\u00e9"], "messages":[{"role":"user","content":"Hi"}]}'
STREAM = CHAT[:-1] + b', "stream": true}'
ASKING_STREAM = STREAM[:-1] + b', "stream_options": {"include_usage": true}}'
RESPONSE_STREAM = b'{"model":"gpt-4o","input":"Hi","stream":true}'


@pytest.mark.parametrize(
    ("method", "path", "body", "headers"),
    [
        ("POST", "/chat/completions", CHAT, {}),
        ("POST", "/chat/completions", CHAT, {"accept-encoding": "gzip", "x-fake-encoding": "gzip"}),
        ("POST", "/chat/completions", STREAM, {"x-fake-seed": "same"}),
        ("POST", "/chat/completions", ASKING_STREAM, {}),
        ("POST", "/chat/completions", ASKING_STREAM, {"accept-encoding": "gzip", "x-fake-encoding": "gzip"}),
        ("POST", "/chat/completions", b"{not json", {}),
        ("POST", "/chat/completions", CHAT, {"x-fake-status": "500"}),
        ("POST", "/responses", b'{"model":"gpt-4o","input":"Hi","stream":true}', {}),
        (
            "POST",
            "/audio/speech",
            b'{"model":"tts-1","voice":"alloy","input":"Hi"}',
            {"x-fake-size-bytes": "100000"},
        ),
        ("GET", "/models?a=1&a=2&b[]=%5B&c=%2F+x", None, {}),
        ("GET", "/files/file-size-70000/content", None, {}),
        ("HEAD", "/models", None, {}),
    ],
)
def test_the_client_receives_what_upstream_sent(
    live: LiveProxy, method: str, path: str, body: bytes | None, headers: dict[str, str]
) -> None:
    _, plain = issue_token()
    headers = {"content-type": "application/json", "accept-encoding": "identity", **headers}
    with httpx.Client() as client:
        direct = _raw(
            client, method, live.upstream_url + path, body, {**headers, "authorization": "Bearer sk-up"}
        )
        proxied = _raw(
            client, method, live.base_url + path, body, {**headers, "authorization": f"Bearer {plain}"}
        )

    assert proxied[0] == direct[0]
    assert proxied[1] == direct[1]
    assert proxied[2] == direct[2]


def test_upstream_receives_what_the_client_sent_but_for_the_documented_headers(live: LiveProxy) -> None:
    _, plain = issue_token()
    sent = [
        ("Authorization", f"Bearer {plain}"),
        ("Content-Type", "application/json; charset=utf-8"),
        ("OpenAI-Beta", "assistants=v2"),
        ("X-Stainless-Retry-Count", "0"),
        ("Idempotency-Key", "idem-1"),
        ("X-Custom", "one"),
        ("X-Custom", "two"),
        ("User-Agent", "my-app/1.0"),
        ("Accept", "application/json"),
        ("X-Marker", "fidelity-marker-1"),
        # These must not pass.
        ("OpenAI-Organization", "org-other"),
        ("OpenAI-Project", "proj-other"),
        ("Cookie", "sessionid=abc"),
        ("X-Forwarded-For", "10.1.2.3"),
        ("Forwarded", "for=10.1.2.3"),
        ("Connection", "x-per-hop"),
        ("X-Per-Hop", "1"),
        ("Api-Key", plain),
    ]
    with httpx.Client() as client:
        client.headers.clear()
        client.post(
            f"{live.base_url}/chat/completions?x=%7Ey&x=2", content=CHAT, headers=sent
        ).raise_for_status()

    (request,) = live.upstream_requests("fidelity-marker-1")
    assert request["target"] == "/v1/chat/completions?x=%7Ey&x=2"
    assert base64.b64decode(request["body_base64"]) == CHAT
    received = [(name.lower(), value) for name, value in request["headers"]]
    host = live.upstream_url.split("/")[2]
    assert sorted(received) == sorted(
        [
            ("host", host),
            ("content-type", "application/json; charset=utf-8"),
            ("openai-beta", "assistants=v2"),
            ("x-stainless-retry-count", "0"),
            ("idempotency-key", "idem-1"),
            ("x-custom", "one"),
            ("x-custom", "two"),
            ("user-agent", "my-app/1.0"),
            ("accept", "application/json"),
            ("x-marker", "fidelity-marker-1"),
            ("accept-encoding", "identity"),
            ("authorization", f"Bearer {UPSTREAM_KEY}"),
            ("content-length", str(len(CHAT))),
        ]
    )


def test_a_chunked_upload_reaches_upstream_whole(live: LiveProxy) -> None:
    _, plain = issue_token()
    parts = [b'{"model": "gpt-4o-mini", ', b'"messages": [{"role":"user",', b'"content":"Hi"}]}']
    answer = httpx.post(
        f"{live.base_url}/chat/completions",
        content=iter(parts),
        headers={
            "authorization": f"Bearer {plain}",
            "content-type": "application/json",
            "x-m": "chunked-marker",
        },
    )

    assert answer.status_code == 200
    (request,) = live.upstream_requests("chunked-marker")
    assert base64.b64decode(request["body_base64"]) == b"".join(parts)


@pytest.mark.parametrize("stream", [False, True])
def test_a_compressed_answer_is_metered_and_passed_as_it_came(live: LiveProxy, stream: bool) -> None:
    token, plain = issue_token()
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    with (
        httpx.Client() as client,
        client.stream(
            "POST",
            f"{live.base_url}/chat/completions",
            json=body,
            headers={"authorization": f"Bearer {plain}", "x-fake-encoding": "gzip"},
        ) as answer,
    ):
        raw = b"".join(answer.iter_raw())

    assert answer.headers["content-encoding"] == "gzip"
    assert b'"usage"' in gzip.decompress(raw)
    record = eventually(lambda: UsageRecord.objects.filter(token=token).first())
    assert record.input_tokens is not None
    assert record.response_bytes == len(raw)


@pytest.mark.parametrize("cut_after", [1, 3])
def test_an_answer_that_upstream_cuts_does_not_end_cleanly(live: LiveProxy, cut_after: int) -> None:
    token, plain = issue_token()
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.post(
            f"{live.base_url}/chat/completions",
            content=STREAM,
            headers={"authorization": f"Bearer {plain}", "x-fake-cut-after": str(cut_after)},
        )

    record = eventually(lambda: UsageRecord.objects.filter(token=token).first())
    assert (record.outcome, record.status) == ("upstream_cut", 200)


@pytest.mark.parametrize(("path", "body"), [("/chat/completions", STREAM), ("/responses", RESPONSE_STREAM)])
def test_a_stream_that_ends_without_its_last_event_does_not_end_cleanly(
    live: LiveProxy, path: str, body: bytes
) -> None:
    token, plain = issue_token()
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.post(
            live.base_url + path,
            content=body,
            headers={
                "authorization": f"Bearer {plain}",
                "content-type": "application/json",
                "x-fake-end-after": "5",
            },
        )

    record = eventually(lambda: UsageRecord.objects.filter(token=token).first())
    assert (record.outcome, record.status, record.usage_source) == ("upstream_cut", 200, "estimated")


@pytest.mark.parametrize("fault", ["x-fake-cut-after", "x-fake-end-after"])
def test_usage_of_a_stream_that_breaks_off_after_it_is_partial(live: LiveProxy, fault: str) -> None:
    token, plain = issue_token()
    asking = STREAM[:-1] + b', "stream_options": {"include_usage": true}, "max_tokens": 3}'
    with contextlib.suppress(httpx.RemoteProtocolError):  # after the finish reason it may end
        httpx.post(
            f"{live.base_url}/chat/completions",
            content=asking,
            headers={"authorization": f"Bearer {plain}", "content-type": "application/json", fault: "6"},
        )

    record = eventually(lambda: UsageRecord.objects.filter(token=token).first())
    whole = fault == "x-fake-end-after"
    assert record.outcome == ("completed" if whole else "upstream_cut")
    assert record.usage_source == ("upstream" if whole else "partial")
    assert record.output_tokens == 3


def test_an_unreachable_upstream_is_said_in_openais_shape(live: LiveProxy) -> None:
    token, plain = issue_token(project=ProjectFactory.create(base_url="http://127.0.0.1:1/v1"))
    answer = httpx.get(f"{live.base_url}/models", headers={"authorization": f"Bearer {plain}"})

    assert answer.status_code == 502
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["error"]["code"] == "upstream_unreachable"
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    record = eventually(lambda: UsageRecord.objects.filter(token=token).first())
    assert (record.outcome, record.error_code, record.status) == (
        "upstream_failed",
        "upstream_unreachable",
        502,
    )


def _raw(
    client: httpx.Client, method: str, url: str, body: bytes | None, headers: dict[str, str]
) -> tuple[int, bytes, list[tuple[str, str]]]:
    """Status, body bytes as on the wire, and the end-to-end headers."""
    with client.stream(method, url, content=body, headers=headers) as answer:
        raw = b"".join(answer.iter_raw())
    return answer.status_code, raw, end_to_end(answer.headers.multi_items())


def test_errors_carry_our_request_id_and_the_record_bears_it(live: LiveProxy) -> None:
    token, plain = issue_token()
    answer = httpx.get(f"{live.base_url}/organization/users", headers={"authorization": f"Bearer {plain}"})

    assert answer.status_code == 404
    assert json.loads(answer.content)["error"]["code"] == "endpoint_not_found"
    record = eventually(lambda: UsageRecord.objects.filter(token=token).first())
    assert str(record.id) == answer.headers["x-llm-proxy-request-id"]
    assert (record.outcome, record.error_code, record.is_admitted) == ("refused", "endpoint_not_found", False)

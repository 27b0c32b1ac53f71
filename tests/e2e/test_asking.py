"""The proxy asks upstream for a stream's usage, and the client does not notice: compared on the wire."""

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.factories import issue_token
from tests.live import LiveProxy, eventually
from usage.models import UsageRecord

CHAT = {"model": "o3", "messages": [{"role": "user", "content": "Hi"}], "reasoning_effort": "high"}
LEGACY = {"model": "gpt-3.5-turbo-instruct", "prompt": "Hi"}
SAME = {"x-fake-seed": "same", "content-type": "application/json"}


def raw(url: str, body: Any, key: str, **headers: str) -> bytes:
    content = body if isinstance(body, bytes | Iterator) else json.dumps(body).encode()
    headers = {**SAME, "authorization": f"Bearer {key}", **headers}
    with httpx.Client() as client, client.stream("POST", url, content=content, headers=headers) as answer:
        return b"".join(answer.iter_raw())


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/chat/completions", CHAT),
        ("/chat/completions", {**CHAT, "n": 3}),
        ("/chat/completions", {**CHAT, "stream_options": {"include_usage": False}}),
        ("/chat/completions", {**CHAT, "stream_options": None}),
        ("/completions", LEGACY),
    ],
)
def test_the_client_of_a_stream_receives_the_bytes_that_nobody_asked_for(
    live: LiveProxy, path: str, body: dict[str, Any]
) -> None:
    token, plain = issue_token()
    body = {**body, "stream": True}
    direct = raw(live.upstream_url + path, body, "sk-up")
    proxied = raw(live.base_url + path, body, plain, **{"accept-encoding": "gzip"})

    assert proxied == direct
    assert b"usage" not in proxied
    record = eventually(lambda: UsageRecord.objects.filter(token=token).first())
    assert (record.outcome, record.usage_source, record.cost_source) == ("completed", "upstream", "price")
    assert record.response_bytes == len(proxied)
    assert record.request_bytes == len(json.dumps(body))
    if path == "/chat/completions":
        assert record.reasoning_tokens


@pytest.mark.parametrize("path", ["/chat/completions", "/completions"])
def test_a_client_that_asks_gets_what_it_asked_for(live: LiveProxy, path: str) -> None:
    _, plain = issue_token()
    body = {**CHAT, **LEGACY, "stream": True, "stream_options": {"include_usage": True}}
    direct = raw(live.upstream_url + path, body, "sk-up")

    assert b'"usage":null' in direct
    assert raw(live.base_url + path, body, plain) == direct


def test_upstream_receives_the_body_as_it_was_but_for_the_question(live: LiveProxy) -> None:
    _, plain = issue_token()
    body = b'{"model": "gpt-4o",  "x": [1.0, "\\u00e9"], "stream": true, "messages":[]}'
    raw(live.base_url + "/chat/completions", body, plain, **{"x-m": "asking-1", "accept-encoding": "gzip"})

    (request,) = live.upstream_requests("asking-1")
    received = base64.b64decode(request["body_base64"])
    headers = dict(request["headers"])
    assert received == b'{"stream_options":{"include_usage":true},' + body[1:]
    assert headers["content-length"] == str(len(received))
    assert headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b'{"model":"gpt-4o","stream":true,"stream":true,"messages":[]}', {}),
        (b'{"model":"gpt-4o","stream":true,"messages":[],"stream_options":[]}', {}),
        (b'{"model":"gpt-4o","stream":true,"messages":[]}', {"content-type": "text/plain"}),
        (b'{"model":"gpt-4o","stream":true,"messages":[]}', {"content-digest": "sha-256=:AAAA:"}),
        (b'{"model":"gpt-4o","messages":[]}', {}),
        (b"{not json", {}),
    ],
)
def test_what_cannot_be_changed_with_certainty_goes_on_untouched(
    live: LiveProxy, body: bytes, headers: dict[str, str]
) -> None:
    token, plain = issue_token()
    raw(live.base_url + "/chat/completions", body, plain, **{"x-m": str(token.id), **headers})

    (request,) = live.upstream_requests(str(token.id))
    assert base64.b64decode(request["body_base64"]) == body


def test_an_answer_that_is_encoded_all_the_same_passes_as_it_is(live: LiveProxy) -> None:
    token, plain = issue_token()
    body = {**CHAT, "stream": True}
    asked = {**body, "stream_options": {"include_usage": True}}
    packed = {"x-fake-encoding": "gzip"}

    assert raw(live.base_url + "/chat/completions", body, plain, **packed) == raw(
        live.upstream_url + "/chat/completions", asked, "sk-up", **packed
    )
    record = eventually(lambda: UsageRecord.objects.filter(token=token).first())
    assert record.usage_source == "upstream"


def test_an_error_in_place_of_a_stream_passes_as_it_is(live: LiveProxy) -> None:
    _, plain = issue_token()
    body = {**CHAT, "stream": True}
    failing = {"x-fake-status": "429"}

    assert raw(live.base_url + "/chat/completions", body, plain, **failing) == raw(
        live.upstream_url + "/chat/completions", body, "sk-up", **failing
    )


def large(**more: Any) -> bytes:
    """A body with a picture of more than 1 MiB."""
    return json.dumps({**CHAT, "x": "a" * 1_100_000, "stream": True, **more}).encode()


def in_pieces(body: bytes) -> Iterator[bytes]:
    """Sent chunked."""
    for start in range(0, len(body), 300_000):
        yield body[start : start + 300_000]


@pytest.mark.parametrize(
    ("body", "is_chunked"), [(large(), False), (json.dumps({**CHAT, "stream": True}).encode(), True)]
)
def test_a_large_body_and_a_chunked_one_are_asked_for_too(
    live: LiveProxy, body: bytes, is_chunked: bool
) -> None:
    token, plain = issue_token()
    content = in_pieces(body) if is_chunked else body
    proxied = raw(live.base_url + "/chat/completions", content, plain, **{"x-m": str(token.id)})

    assert proxied == raw(live.upstream_url + "/chat/completions", body, "sk-up")
    (request,) = live.upstream_requests(str(token.id))
    headers = dict(request["headers"])
    assert "transfer-encoding" not in headers
    assert headers["content-length"] == str(len(body) + len(b'"stream_options":{"include_usage":true},'))
    record = eventually(lambda: UsageRecord.objects.filter(token=token).first())
    assert (record.model, record.is_stream, record.usage_source) == ("o3-2025-04-16", True, "upstream")
    assert record.request_bytes == len(body)


@pytest.mark.parametrize("is_chunked", [True, False])
def test_a_large_body_that_is_no_streams_passes_as_it_is(live: LiveProxy, is_chunked: bool) -> None:
    token, plain = issue_token()
    body = large(stream=False)
    content = in_pieces(body) if is_chunked else body
    raw(live.base_url + "/chat/completions", content, plain, **{"x-m": str(token.id)})

    (request,) = live.upstream_requests(str(token.id))
    assert request["body_sha256"] == hashlib.sha256(body).hexdigest()
    record = eventually(lambda: UsageRecord.objects.filter(token=token).first())
    assert (record.is_stream, record.usage_source, record.cost_source) == (False, "upstream", "price")


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (large(y="b" * 1_000_000), {"transfer-encoding": "chunked"}),
        (json.dumps({**CHAT, "stream": True}).encode(), {"content-type": "text/plain"}),
    ],
    ids=["long and chunked", "text"],
)
def test_a_stream_whose_body_is_not_seen_is_estimated_by_the_model_that_answers(
    live: LiveProxy, body: bytes, headers: dict[str, str]
) -> None:
    token, plain = issue_token()
    content = in_pieces(body) if "transfer-encoding" in headers else body
    headers = {"x-m": str(token.id), "content-type": "application/json", **headers}
    proxied = raw(live.base_url + "/chat/completions", content, plain, **headers)

    assert proxied.endswith(b"data: [DONE]\n\n")
    assert b"usage" not in proxied
    (request,) = live.upstream_requests(str(token.id))
    assert request["body_sha256"] == hashlib.sha256(body).hexdigest()
    record = eventually(lambda: UsageRecord.objects.filter(token=token).first())
    assert record.model.startswith("o3")
    assert (record.is_stream, record.usage_source, record.cost_source) == (True, "estimated", "price")
    assert record.output_tokens

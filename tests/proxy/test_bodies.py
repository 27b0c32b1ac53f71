"""Which bodies are read before they are sent on, and what is refused that cannot be seen."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projects.models import UnpricedPolicy
from proxy.asking import ask_for_usage
from proxy.bodies import (
    MAX_PEEKED_BYTES,
    MAX_SEEN_BYTES,
    must_be_seen,
    read_body,
    will_be_seen,
)
from proxy.client import Client
from proxy.endpoints import Endpoint
from proxy.errors import BadRequest, RateLimitReached, RequestTooLarge, ServiceUnavailable
from proxy.facts import NO_FACTS, Facts
from proxy.held_bodies import MAX_HELD_BYTES, HeldBodies, HeldBody
from proxy.request import ProxyRequest, StreamedBody
from proxy.types import Message
from tests.grants import make_grant
from tokens.grant import Grant
from tokens.limits.values import Limits

CHAT = Endpoint(path="/chat/completions", methods=("POST",), usage="openai")
ASKING = Endpoint(path="/chat/completions", methods=("POST",), usage="openai", asks_usage=True)
LARGE_BYTES = MAX_PEEKED_BYTES + 1
VIDEOS = Endpoint(path="/videos", methods=("POST",), usage="unreported")
FILES = Endpoint(path="/files", methods=("POST",), usage="none")
UNLIMITED = make_grant()
BUDGETED = make_grant(project_limits=Limits(budgets=(None, None, None, 1)))
TPM = make_grant(token_limits=Limits(max_model_tokens_per_minute=1))
REFUSING = make_grant(unpriced_policy=UnpricedPolicy.REFUSE)
BODY = b'{"model":"gpt-4o","max_tokens":5}'


def a_request(
    length: int | None = len(BODY), media: bytes = b"application/json", path: str = "/chat/completions"
) -> ProxyRequest:
    headers = [(b"content-type", media)]
    headers.append(
        (b"transfer-encoding", b"chunked") if length is None else (b"content-length", b"%d" % length)
    )
    return ProxyRequest("POST", path, b"", headers, length)


def a_client(*chunks: bytes) -> Client:
    left = list(chunks)

    async def receive() -> Message:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message: Message) -> None:
        raise AssertionError("nothing is answered here")

    return Client(receive, send, max_body_bytes=10**9)


async def read(
    grant: Grant,
    request: ProxyRequest,
    *chunks: bytes,
    endpoint: Endpoint = CHAT,
    held: HeldBody | None = None,
) -> Any:
    is_seen = must_be_seen(request, grant, endpoint)
    held = held or HeldBodies().place_for(grant)
    return await read_body(request, a_client(*chunks), grant, endpoint, is_seen=is_seen, held=held)


@pytest.mark.parametrize("grant", [BUDGETED, TPM, REFUSING])
@pytest.mark.parametrize(
    "request_",
    [a_request(), a_request(None), a_request(media=b"text/plain"), a_request(media=b"")],
    ids=["json", "chunked", "text", "untyped"],
)
async def test_what_limits_depend_on_is_seen_however_it_is_sent(grant: Grant, request_: ProxyRequest) -> None:
    body, facts = await read(grant, request_, BODY[:5], BODY[5:])
    assert body == BODY
    assert (facts.model, facts.max_output_tokens) == ("gpt-4o", 5)


@pytest.mark.parametrize("grant", [BUDGETED, TPM])
@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"\xef\xbb\xbf" + BODY, BODY.decode().encode("utf-16"), b'{"model":5}', b'{"model":NaN}'],
    ids=["empty", "list", "bom", "utf16", "number", "nan"],
)
async def test_a_body_whose_model_cannot_be_seen_is_refused(grant: Grant, body: bytes) -> None:
    with pytest.raises(BadRequest) as refused:
        await read(grant, a_request(None), body)
    assert refused.value.param == "model"


async def test_without_such_limits_nothing_has_to_be_seen() -> None:
    assert await read(UNLIMITED, a_request(3), b"[1]") == (b"[1]", NO_FACTS)
    body, facts = await read(UNLIMITED, a_request(None), BODY)
    assert isinstance(body, StreamedBody)
    assert facts == NO_FACTS
    assert isinstance((await read(UNLIMITED, a_request(MAX_PEEKED_BYTES + 1), BODY))[0], StreamedBody)


async def test_a_large_body_that_may_ask_for_a_stream_is_seen() -> None:
    held = HeldBodies().place_for(UNLIMITED)
    request, body = a_request(LARGE_BYTES), BODY + b" " * (LARGE_BYTES - len(BODY))
    assert will_be_seen(request, UNLIMITED, ASKING, held)

    read_of = await read_body(
        request, a_client(body[:9], body[9:]), UNLIMITED, ASKING, is_seen=True, held=held
    )
    assert read_of == (body, Facts(model="gpt-4o"))


@pytest.mark.parametrize(
    ("request_", "endpoint"),
    [
        (a_request(LARGE_BYTES), CHAT),
        (a_request(LARGE_BYTES, media=b"text/plain"), ASKING),
        (replace(a_request(LARGE_BYTES), headers=[(b"content-digest", b"x")]), ASKING),
        (a_request(MAX_SEEN_BYTES + 1), ASKING),
        (a_request(MAX_PEEKED_BYTES), ASKING),  # it is read by the way
        (a_request(None), ASKING),
    ],
    ids=["not asked", "text", "digest", "too large", "small", "chunked"],
)
def test_others_are_not_held(request_: ProxyRequest, endpoint: Endpoint) -> None:
    assert not will_be_seen(request_, UNLIMITED, endpoint, HeldBodies().place_for(UNLIMITED))


def test_what_need_not_be_seen_leaves_half_of_every_share_free() -> None:
    held, grant = HeldBodies(), replace(UNLIMITED, token_id=uuid4(), project_id=uuid4())
    other = replace(grant, token_id=uuid4())
    third = replace(grant, token_id=uuid4())
    whole = a_request(MAX_SEEN_BYTES)
    first = held.place_for(grant)
    assert will_be_seen(whole, grant, ASKING, first)
    assert not will_be_seen(a_request(LARGE_BYTES), grant, ASKING, held.place_for(grant))
    assert will_be_seen(whole, other, ASKING, held.place_for(other))
    assert not will_be_seen(a_request(LARGE_BYTES), third, ASKING, held.place_for(third))

    fill(held, replace(BUDGETED, token_id=grant.token_id, project_id=grant.project_id))  # this must be
    first.give_back()
    assert not will_be_seen(whole, grant, ASKING, held.place_for(grant))
    for _ in range(2):
        fill(held, budgeted())
    stranger = replace(UNLIMITED, token_id=uuid4(), project_id=uuid4())
    assert not will_be_seen(a_request(LARGE_BYTES), stranger, ASKING, held.place_for(stranger))


async def test_a_chunked_body_that_may_ask_for_a_stream_is_seen_if_it_is_short() -> None:
    assert await read(UNLIMITED, a_request(None), BODY[:5], BODY[5:], endpoint=ASKING) == (
        BODY,
        Facts(model="gpt-4o"),
    )
    text = a_request(None, media=b"text/plain")
    assert isinstance((await read(UNLIMITED, text, BODY, endpoint=ASKING))[0], StreamedBody)


async def test_a_longer_chunked_body_goes_on_behind_what_was_read_of_it() -> None:
    pieces = [BODY, b"a" * MAX_PEEKED_BYTES, b"b", b"c"]
    body, facts = await read(UNLIMITED, a_request(None), *pieces, endpoint=ASKING)
    assert isinstance(body, StreamedBody)
    assert facts == NO_FACTS
    assert [piece async for piece in body] == [pieces[0] + pieces[1], b"b", b"c"]


async def test_forms_and_what_costs_nothing_stream_where_nothing_depends_on_them() -> None:
    form = a_request(None, media=b"multipart/form-data; boundary=x")
    assert isinstance((await read(UNLIMITED, form, b"x"))[0], StreamedBody)
    assert isinstance((await read(BUDGETED, form, b"x", endpoint=VIDEOS))[0], StreamedBody)
    assert isinstance((await read(BUDGETED, a_request(None), b"x", endpoint=FILES))[0], StreamedBody)


async def test_the_model_of_a_form_is_seen_where_limits_depend_on_it() -> None:
    form = a_request(None, media=b"multipart/form-data; boundary=x")
    body = b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\ngpt-image-1\r\n--x--\r\n'
    assert (await read(BUDGETED, form, body))[1] == Facts(model="gpt-image-1", has_input_elsewhere=True)
    with pytest.raises(BadRequest):
        await read(BUDGETED, form, body.replace(b"model", b"Model"))


@pytest.mark.parametrize("grant", [BUDGETED, TPM, REFUSING])
@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"gpt-4o","model":"gpt-4o"}',
        b'{"model":"gpt-4o","max_tokens":9999,"max_tokens":5}',
        b'{"model":"gpt-4o","max_tokens":9999,"max_t\\u006fkens":5}',
        b'{"model":"gpt-4o","max_tokens":5,"Max_Tokens":9999}',
        b'{"model":"gpt-4o","tools":[{"type":"web_search","type":"function"}]}',
    ],
)
async def test_what_is_said_twice_does_not_trick_a_reservation(grant: Grant, body: bytes) -> None:
    with pytest.raises(BadRequest):
        await read(grant, a_request(len(body)), body)
    assert (await read(UNLIMITED, a_request(len(body)), body))[0] == body


@pytest.mark.parametrize("stated", ['"2000"', "true", "null", "-5", "0", "2000.5"])
async def test_a_maximum_that_is_no_number_bounds_nothing(stated: str) -> None:
    body = b'{"model":"gpt-4o","max_tokens":%s}' % stated.encode()
    assert (await read(BUDGETED, a_request(len(body)), body))[1].max_output_tokens is None


@pytest.mark.parametrize("stated", ["2000", "2e3", "2000.0"])
async def test_a_maximum_is_a_number_however_it_is_written(stated: str) -> None:
    body = b'{"model":"gpt-4o","max_tokens":%s}' % stated.encode()
    assert (await read(BUDGETED, a_request(len(body)), body))[1].max_output_tokens == 2000


async def test_a_body_that_is_too_large_to_be_seen_is_refused() -> None:
    with pytest.raises(RequestTooLarge):
        will_be_seen(a_request(MAX_SEEN_BYTES + 1), BUDGETED, CHAT, HeldBodies().place_for(BUDGETED))
    with pytest.raises(RequestTooLarge):
        await read(BUDGETED, a_request(None), b"x" * MAX_SEEN_BYTES, b"x")
    too_large = a_request(MAX_SEEN_BYTES + 1)
    assert not will_be_seen(too_large, UNLIMITED, CHAT, HeldBodies().place_for(UNLIMITED))


def budgeted() -> Grant:
    """Of a token and a project of its own."""
    return replace(BUDGETED, token_id=uuid4(), project_id=uuid4())


def fill(held: HeldBodies, grant: Grant, size_bytes: int = MAX_SEEN_BYTES) -> HeldBody:
    body = held.place_for(grant)
    body.grow(size_bytes)
    return body


def test_only_so_many_large_bodies_are_held_at_a_time() -> None:
    held = HeldBodies()
    bodies = [fill(held, budgeted()) for _ in range(MAX_HELD_BYTES // MAX_SEEN_BYTES)]
    with pytest.raises(ServiceUnavailable):
        fill(held, budgeted(), MAX_PEEKED_BYTES + 1)
    fill(held, budgeted(), MAX_PEEKED_BYTES)  # small ones always find room
    bodies[0].give_back()
    fill(held, budgeted())


def test_a_token_and_a_project_have_a_share_of_what_is_held() -> None:
    held, greedy = HeldBodies(), budgeted()
    bodies = [fill(held, greedy), fill(held, greedy)]
    with pytest.raises(RateLimitReached, match="access token"):
        fill(held, greedy, MAX_PEEKED_BYTES + 1)
    other = replace(greedy, token_id=uuid4())
    bodies += [fill(held, other), fill(held, other)]
    with pytest.raises(RateLimitReached, match="project"):
        fill(held, replace(greedy, token_id=uuid4()), MAX_PEEKED_BYTES + 1)

    fill(held, budgeted())
    for body in bodies:
        body.give_back()
    fill(held, greedy)


async def test_what_was_announced_keeps_nobody_out() -> None:
    """Only what has come is held, and what comes beyond the room is refused."""
    held, grant = HeldBodies(MAX_SEEN_BYTES * 4), budgeted()
    for _ in range(100):
        will_be_seen(a_request(None), grant, CHAT, held.place_for(grant))
    await read(grant, a_request(None), BODY, held=held.place_for(grant))
    first = held.place_for(grant)
    await read(grant, a_request(None), BODY, b" " * MAX_PEEKED_BYTES * 20, held=first)
    with pytest.raises(RateLimitReached):
        await read(grant, a_request(None), BODY, b" " * MAX_PEEKED_BYTES * 20, held=held.place_for(grant))
    with pytest.raises(RateLimitReached):  # said to come: refused before it does
        will_be_seen(a_request(MAX_PEEKED_BYTES * 20), grant, CHAT, held.place_for(grant))
    first.give_back()
    assert will_be_seen(a_request(MAX_PEEKED_BYTES * 20), grant, CHAT, held.place_for(grant))


SPEECH = Endpoint(path="/audio/speech", methods=("POST",), usage="speech")
ASKING = Endpoint(path="/chat/completions", methods=("POST",), usage="openai", asks_usage=True)
EMBEDDINGS = Endpoint(path="/embeddings", methods=("POST",), usage="input")
RUNS = Endpoint(path="/threads/runs", methods=("POST",), usage="openai", background=True)
JSON_WITH_A_HOLE = [
    (b'{"model":"tts-1","tools":[{"type":"', b'"}]}'),
    (b'{"model":"m","input":["', b'"]}'),
    (b'{"model":"m","stream":true,"', b'":1}'),
    (b'{"model":"m","stream":true,"stream_options":{"', b'":{}}}'),
    (b'{"model":"', b'"}'),
    (b'{"model":"m","prompt":', b"}"),
    (b"", b""),
]


@given(
    st.sampled_from([ASKING, SPEECH, VIDEOS, EMBEDDINGS, RUNS]),
    st.sampled_from([UNLIMITED, BUDGETED, REFUSING]),
    st.sampled_from([b"application/json", b"text/plain", b"multipart/form-data; boundary=b"]),
    st.sampled_from(JSON_WITH_A_HOLE),
    st.binary(max_size=20) | st.sampled_from([b"[" * 985 + b"]" * 985, b"\\ud800", b"\xed\xa0\x80"]),
)
def test_no_bytes_do_more_than_be_refused(
    endpoint: Endpoint, grant: Grant, media: bytes, around: tuple[bytes, bytes], hole: bytes
) -> None:
    body = around[0] + hole + around[1]
    request = a_request(len(body), media, endpoint.path)
    with suppress(BadRequest):
        read_whole, facts = asyncio.run(read(grant, request, body, endpoint=endpoint))
        ask_for_usage(request, endpoint, facts, read_whole)

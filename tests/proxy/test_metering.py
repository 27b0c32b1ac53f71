import gzip
import json
import secrets
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from uuid_utils.compat import uuid7

from proxy.endpoints import Endpoint
from proxy.metering.background import Work
from proxy.metering.guarded import Guarded
from proxy.metering.meter import (
    INFLATED_STEP_BYTES,
    MAX_DOCUMENT_BYTES,
    MAX_INFLATED_CHUNK_BYTES,
    JSONMeter,
    meter_for,
)
from proxy.metering.silence import Silence
from proxy.metering.usage import Usage, read_usage

METERED = Endpoint(path="/x", methods=("POST",), usage="openai")
UNMETERED = Endpoint(path="/x", methods=("POST",), usage="none")
JSON = [(b"content-type", b"application/json")]
SSE = [(b"content-type", b"text/event-stream; charset=utf-8")]
GZIP = (b"content-encoding", b"gzip")
REQUEST_ID = uuid7()
HARDLY_PACKED = secrets.token_hex(MAX_DOCUMENT_BYTES // 2).encode()

CHAT = {
    "model": "gpt-4o-2024-08-06",
    "choices": [{"message": {"content": '"usage": {"prompt_tokens": 999}'}}],
    "usage": {
        "prompt_tokens": 11,
        "completion_tokens": 22,
        "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 4},
    },
}
USED = Usage("gpt-4o-2024-08-06", 11, 22, 3, 4)
RESPONSE = {
    "model": "gpt-4o-2024-08-06",
    "usage": {
        "input_tokens": 11,
        "output_tokens": 22,
        "input_tokens_details": {"cached_tokens": 3},
        "output_tokens_details": {"reasoning_tokens": 4},
    },
}


def sse(*events: object) -> bytes:
    return (
        b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events) + b"data: [DONE]\n\n"
    )


CHAT_STREAM = sse({"model": "m", "usage": None, "choices": [{}]}, {**CHAT, "choices": []})
RESPONSES_STREAM = sse({"type": "response.created", "response": {"usage": None}}, {"response": RESPONSE})


@pytest.mark.parametrize("document", [CHAT, RESPONSE, {"type": "response.completed", "response": RESPONSE}])
def test_usage_is_read_from_every_shape(document: object) -> None:
    assert read_usage(json.dumps(document).encode()) == USED


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff",
        b"{}",
        b'{"usage": null}',
        b'{"usage": "much"}',
        b'{"usage": {"prompt_tokens": -1}}',
        b'{"usage": {"prompt_tokens": 99999999999999999999}}',
    ],
)
def test_what_reports_no_sensible_usage_gives_none(document: bytes) -> None:
    assert read_usage(document) is None


@given(st.binary())
def test_arbitrary_bytes_raise_nothing(document: bytes) -> None:
    read_usage(document)


@pytest.mark.parametrize(
    ("headers", "body"),
    [(JSON, json.dumps(CHAT).encode()), (SSE, CHAT_STREAM), (SSE, RESPONSES_STREAM)],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_any_split_of_an_answer_gives_the_same_usage(
    headers: list[tuple[bytes, bytes]], body: bytes, compressed: bool
) -> None:
    if compressed:
        headers, body = [*headers, GZIP], gzip.compress(body)
    for cut in range(len(body) + 1):
        meter = meter_for(METERED, headers)
        meter.feed(body[:cut])
        meter.feed(body[cut:])

        assert meter.finish() == USED


def test_a_stream_that_is_cut_reports_what_has_passed() -> None:
    meter = meter_for(METERED, SSE)
    meter.feed(CHAT_STREAM.removesuffix(b"data: [DONE]\n\n"))

    assert meter.finish() == USED


def test_a_broken_compressed_answer_raises_nothing() -> None:
    meter = meter_for(METERED, [*JSON, GZIP])
    meter.feed(b"not gzip")
    meter.feed(b"at all")

    assert meter.finish() is None


@pytest.mark.parametrize(
    ("endpoint", "headers"),
    [
        (UNMETERED, JSON),
        (METERED, [*JSON, (b"content-encoding", b"br")]),
        (METERED, [(b"content-type", b"audio/mpeg")]),
        (METERED, []),
    ],
)
def test_what_cannot_or_need_not_be_read_is_not(
    endpoint: Endpoint, headers: list[tuple[bytes, bytes]]
) -> None:
    meter = meter_for(endpoint, headers)
    meter.feed(json.dumps(CHAT).encode())

    assert meter.finish() is None


def test_of_a_huge_answer_the_usage_is_read_all_the_same() -> None:
    image = {"created": 1, "data": [{"b64_json": "x" * 5_000_000}], **CHAT}
    meter = JSONMeter()
    for part in batched(json.dumps(image).encode(), 65_536):
        meter.feed(part)

    assert meter.finish() == USED


def test_of_a_huge_event_the_usage_is_read_all_the_same() -> None:
    image = {"type": "image_generation.completed", "b64_json": "x" * 2_000_000, **CHAT}
    meter = meter_for(METERED, SSE)
    for part in batched(b"data: " + json.dumps(image).encode() + b"\n\n", 65_536):
        meter.feed(part)

    assert meter.finish() == USED
    assert not meter.is_cut_off


def batched(text: bytes, size: int) -> list[bytes]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def test_every_split_of_the_bill_is_read() -> None:
    details = {"cached_tokens": 1, "cache_write_tokens": 2, "audio_tokens": 3}
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 20,
        "prompt_tokens_details": details,
        "completion_tokens_details": {"reasoning_tokens": 4, "audio_tokens": 5},
    }
    document = json.dumps({"model": "m", "service_tier": "flex", "usage": usage}).encode()
    assert read_usage(document) == Usage("m", 10, 20, 1, 4, 2, 3, 5, "flex")


def test_pieces_of_output_are_counted_as_they_pass() -> None:
    meter = meter_for(METERED, SSE)
    meter.feed(sse({"choices": [{"delta": {"content": "a"}}]}, {"choices": [{"delta": {"content": "b"}}]}))
    meter.feed(sse({"type": "response.output_text.delta", "delta": "c"}, {"type": "response.created"}))
    meter.feed(sse({"object": "text_completion", "choices": [{"text": "d"}]}))
    assert meter.pieces == 4


@pytest.mark.parametrize(
    "last",
    [
        b"data: [DONE]\n\n",
        b'event: response.completed\ndata: {"type":"response.completed","response":{}}\n\n',
        b'data: {"type":"response.incomplete","response":{}}\n\n',
        b'data: {"type":"response.failed","response":{}}\n\n',
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_stream_is_known_to_have_ended_by_its_last_event(last: bytes, packed: bool) -> None:
    first, compressor = b'data: {"type":"response.created"}\n\n', zlib.compressobj(wbits=31)
    meter = meter_for(METERED, [*SSE, GZIP] if packed else SSE)

    def feed(chunk: bytes) -> None:
        meter.feed(compressor.compress(chunk) + compressor.flush(zlib.Z_SYNC_FLUSH) if packed else chunk)

    feed(first)
    assert not meter.has_ended
    feed(last)
    assert meter.has_ended


@pytest.mark.parametrize(
    ("events", "is_cut_off"),
    [
        ([{"object": "chat.completion.chunk", "choices": [{"delta": {}, "finish_reason": None}]}], True),
        ([{"object": "chat.completion.chunk", "choices": [{"delta": {}, "finish_reason": "stop"}]}], False),
        ([{"object": "text_completion", "choices": [{"text": "a", "finish_reason": None}]}], True),
        ([{"object": "text_completion", "choices": [{"text": "a", "finish_reason": "length"}]}], False),
        ([{"type": "response.created"}], True),
        ([{"type": "response.created"}, {"sequence_number": 9, "type": "response.completed"}], False),
        ([{"type": "response.created"}, {"type": "error", "message": "overloaded"}], False),
        ([{"object": "chat.completion.chunk"}, {"error": {"message": "overloaded"}}], False),
        ([{"type": "image_generation.partial_image"}], True),
        ([{"type": "image_generation.completed"}], False),
        ([{"type": "image_edit.completed"}], False),
        ([{"type": "speech.audio.delta"}], True),
        ([{"type": "speech.audio.done"}], False),
        ([{"type": "transcript.text.delta", "delta": "a"}], True),
        ([{"type": "transcript.text.done"}], False),
        ([{"object": "thread.run"}], True),
        ([{"object": "something else"}], False),
        ([], True),
    ],
)
def test_a_stream_that_comes_without_its_last_event_is_cut_off(
    events: list[object], is_cut_off: bool
) -> None:
    meter = meter_for(METERED, SSE)
    meter.feed(sse(*events).removesuffix(b"data: [DONE]\n\n"))
    assert meter.is_cut_off is is_cut_off
    meter.feed(b"data: [DONE]\n\n")
    assert not meter.is_cut_off


CHUNK = {"object": "chat.completion.chunk", "choices": [{"delta": {"content": "a"}, "finish_reason": None}]}


@pytest.mark.parametrize(
    "events",
    [
        [{"choices": [], "id": "", "model": "", "object": "", "prompt_filter_results": []}, CHUNK],
        [{"id": "thread_1", "object": "thread"}, {"id": "run_1", "object": "thread.run", "usage": None}],
        [{**CHUNK, "choices": [{"delta": {"content": "a"}, "finish_reason": ""}]}],
        [
            {"type": "response.created"},
            {"type": "response.output_item.done", "item": {"type": "mcp_call", "error": "out of order"}},
        ],
        [{"type": "response.created", "response": {"metadata": {"type": "response.completed"}}}],
        [
            {
                "response": {"metadata": {"type": "error"}},
                "sequence_number": 0,
                "type": "response.created",
            }
        ],
    ],
)
def test_what_only_looks_like_an_end_is_none(events: list[object]) -> None:
    meter = meter_for(METERED, SSE)
    meter.feed(sse(*events).removesuffix(b"data: [DONE]\n\n"))
    assert meter.is_cut_off


@pytest.mark.parametrize("separators", [(",", ":"), None])
@pytest.mark.parametrize("output", ["Hi", "x" * 5000, "x" * 600_000])
@pytest.mark.parametrize("is_numbered", [True, False])
def test_a_type_that_stands_last_is_the_events_own(
    separators: tuple[str, str] | None, output: str, is_numbered: bool
) -> None:
    """As vLLM writes it, and Ollama."""
    tools = [{"parameters": {"properties": {"delta": {"type": "integer"}}}}]
    done = {**DONE, "output": [{"content": [{"text": output, "type": "output_text"}]}], "tools": tools}
    number = {"sequence_number": 9} if is_numbered else {}
    events = [
        {"response": {**QUEUED, "tools": tools}, **number, "type": "response.created"},
        {"content_index": 0, "delta": "Hi", "item_id": "x", **number, "type": "response.output_text.delta"},
        {"response": dict(sorted(done.items())), **number, "type": "response.completed"},
    ]
    meter = meter_for(METERED, SSE)
    for event in events:
        assert not meter.has_ended
        meter.feed(b"data: " + json.dumps(event, separators=separators).encode() + b"\n\n")

    assert meter.has_ended
    assert not meter.is_cut_off
    assert meter.finish() == Usage("m", 1, 2)
    assert meter.work() == Work("resp_1", is_finished=True, is_batch=False)


def test_a_type_is_found_between_other_members() -> None:
    usage = {"input_tokens": 1, "output_tokens": 2, "type": "tokens"}
    meter = meter_for(METERED, SSE)
    meter.feed(b'data: {"delta":"a","type":"transcript.text.delta"}\n\n')
    meter.feed(
        b'data: {"text":"a","type":"transcript.text.done","usage":%b}\n\n' % json.dumps(usage).encode()
    )
    assert meter.has_ended


def test_a_tool_that_is_told_again_hides_no_end() -> None:
    meter = meter_for(METERED, SSE)
    meter.feed(b'data: {"type":"response.completed","response":{"tools":[{"properties":{"delta":{}}}]}}\n\n')
    assert meter.has_ended
    assert meter.pieces == 0


def test_several_gzip_members_are_one_stream() -> None:
    meter = meter_for(METERED, [*SSE, GZIP])
    members = [gzip.compress(b"data: " + json.dumps(CHUNK).encode() + b"\n\n") for _ in range(3)]
    packed = b"".join(members) + gzip.compress(b"data: [DONE]\n\n")
    for part in batched(packed, 50):
        meter.feed(part)

    assert meter.pieces == 3
    assert meter.has_ended


@pytest.mark.parametrize("rest", [b"\0", b"x"])
def test_what_follows_a_gzip_stream_is_not_kept(rest: bytes) -> None:
    meter = meter_for(METERED, [*SSE, GZIP])
    meter.feed(gzip.compress(b"data: [DONE]\n\n"))
    tracemalloc.start()
    for _ in range(100):
        meter.feed(rest * 65_536)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert meter.has_ended
    assert kept < 1_000_000


def test_a_stream_that_reports_nothing_may_end_as_it_likes() -> None:
    assert not meter_for(UNMETERED, SSE).is_cut_off
    assert not meter_for(METERED, JSON).is_cut_off


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        ({"type": "duration", "seconds": 3}, Usage(audio_seconds=3.0)),
        (
            {
                "type": "tokens",
                "input_tokens": 14,
                "output_tokens": 45,
                "input_token_details": {"text_tokens": 0, "audio_tokens": 14},
            },
            Usage(input_tokens=14, output_tokens=45, audio_input_tokens=14),
        ),
        (
            {
                "input_tokens": 50,
                "output_tokens": 272,
                "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
                "output_tokens_details": {"text_tokens": 0, "image_tokens": 272},
            },
            Usage(input_tokens=50, output_tokens=272, image_input_tokens=40, image_output_tokens=272),
        ),
        ({"prompt_tokens": 8, "total_tokens": 8}, Usage(input_tokens=8)),
        ({}, None),
        ({"total_tokens": 5}, None),
    ],
)
def test_usage_of_audio_images_and_embeddings_is_read(reported: object, usage: Usage | None) -> None:
    event = {"type": "transcript.text.done", "usage": reported}
    meter = meter_for(METERED, SSE)
    meter.feed(sse(event))

    assert read_usage(json.dumps({"usage": reported}).encode()) == usage
    assert meter.finish() == usage


def test_the_usage_of_a_run_is_the_last_that_its_stream_reports() -> None:
    step = {"object": "thread.run.step", "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    run = {"object": "thread.run", "model": "m", "usage": {"prompt_tokens": 5, "completion_tokens": 7}}
    meter = meter_for(METERED, SSE)
    meter.feed(sse(step, run))

    assert meter.finish() == Usage("m", 5, 7)


def test_a_run_is_known_by_the_events_of_its_stream() -> None:
    step = {
        "id": "step_1",
        "object": "thread.run.step",
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
    }
    ran = {**RUN, "status": "completed", "usage": {"prompt_tokens": 5, "completion_tokens": 7}}
    meter = meter_for(METERED, SSE)
    events = [RUN, {**RUN, "status": "in_progress"}, step]
    meter.feed(sse(*events).removesuffix(b"data: [DONE]\n\n"))
    assert meter.work() == Work("run_1", is_finished=False, is_batch=False)
    meter.feed(sse(ran))

    assert meter.work() == Work("run_1", is_finished=True, is_batch=False)
    assert meter.finish() == Usage("m", 5, 7)


def test_a_run_that_waits_for_its_tools_is_not_finished() -> None:
    meter = meter_for(METERED, SSE)
    meter.feed(sse(RUN, {**RUN, "status": "requires_action"}))
    assert meter.work() == Work("run_1", is_finished=False, is_batch=False)


def test_a_meter_that_fails_becomes_deaf_and_says_so_once() -> None:
    class Broken(JSONMeter):
        def feed(self, chunk: bytes) -> None:
            raise ValueError("no meter is perfect")

    meter = Guarded(Broken(), REQUEST_ID, Silence())
    with capture_logs() as logs:
        meter.feed(b"{")
        meter.feed(b"}")

    assert meter.finish() is None
    assert meter.finish_reasons() == ()
    assert meter.heard_bytes == 2
    assert [(log["event"], log["request_id"]) for log in logs] == [("meter failed", str(REQUEST_ID))]


def test_a_meter_that_fails_at_the_end_has_no_reasons_to_tell() -> None:
    class Broken(JSONMeter):
        def finish_reasons(self) -> tuple[str, ...]:
            raise ValueError("no meter is perfect")

    meter = Guarded(Broken(), REQUEST_ID, Silence())
    with capture_logs() as logs:
        assert meter.finish_reasons() == ()
        assert meter.finish_reasons() == ()

    assert [(log["event"], log["request_id"]) for log in logs] == [("meter failed", str(REQUEST_ID))]


def test_a_meter_that_fails_at_the_end_has_no_model_to_tell() -> None:
    class Broken(JSONMeter):
        def model(self) -> str:
            raise ValueError("no meter is perfect")

    meter = Guarded(Broken(), REQUEST_ID, Silence())
    with capture_logs() as logs:
        assert (meter.model(), meter.model()) == ("", "")

    assert [(log["event"], log["request_id"]) for log in logs] == [("meter failed", str(REQUEST_ID))]


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("document", "model"),
    [
        (b'{"id":"c","model":"gpt-4o","choices":[]}', "gpt-4o"),
        (b'{"id":"c","model":"gpt-4o","choices":[{"mess', "gpt-4o"),
        (b'{"data":"%b","model":"gpt-4o"}' % HARDLY_PACKED, "gpt-4o"),
        (b'{"choices":[{"model":"gpt-4o"}]}', ""),
        (b'{"model":["gpt-4o"]}', ""),
        (b"gpt-4o", ""),
        (b"", ""),
    ],
)
def test_a_document_names_its_model_even_where_it_broke_off(
    document: bytes, model: str, packed: bool
) -> None:
    meter = Guarded(meter_for(METERED, [*JSON, GZIP] if packed else JSON), REQUEST_ID, Silence())
    coded = gzip.compress(document) if packed else document
    for start in range(0, len(coded), 65536):
        meter.feed(coded[start : start + 65536])

    assert meter.finish() is None
    assert meter.model() == model


@pytest.mark.parametrize("packed", [True, False])
def test_a_stream_says_why_its_choices_finished(packed: bool) -> None:
    choices = [{"delta": {}, "finish_reason": "stop"}]
    stream = sse(CHUNK, {**CHUNK, "choices": choices})
    meter = Guarded(meter_for(METERED, [*SSE, GZIP] if packed else SSE), REQUEST_ID, Silence())
    meter.feed(gzip.compress(stream) if packed else stream)

    assert meter.finish_reasons() == ("stop",)


QUEUED = {"id": "resp_1", "object": "response", "background": True, "status": "queued", "usage": None}
DONE = {**QUEUED, "status": "completed", "model": "m", "usage": {"input_tokens": 1, "output_tokens": 2}}

RUN = {"id": "run_1", "object": "thread.run", "status": "queued", "model": "m", "usage": None}


@pytest.mark.parametrize(
    ("document", "work"),
    [
        (QUEUED, Work("resp_1", is_finished=False, is_batch=False)),
        (DONE, Work("resp_1", is_finished=True, is_batch=False)),
        ({**DONE, "output": ["x" * 5_000_000]}, Work("resp_1", is_finished=True, is_batch=False)),
        ({**DONE, "status": "cancelled"}, Work("resp_1", True, False, True, is_cancelled=True)),
        ({**QUEUED, "status": "failed"}, Work("resp_1", True, False, is_broken_off=True)),
        ({"id": "batch_1", "object": "batch", "status": "in_progress"}, Work("batch_1", False, True)),
        ({**DONE, "background": False}, None),
        ({"object": "list", "data": [QUEUED]}, None),
        ({**QUEUED, "id": "x" * 101}, None),
        ({**QUEUED, "id": "x\0"}, None),
        ([], None),
        (RUN, Work("run_1", is_finished=False, is_batch=False)),
        ({**RUN, "status": "requires_action"}, Work("run_1", is_finished=False, is_batch=False)),
        ({**RUN, "status": "cancelling"}, Work("run_1", is_finished=False, is_batch=False)),
        ({**RUN, "status": "completed"}, Work("run_1", is_finished=True, is_batch=False)),
        ({**RUN, "status": "incomplete"}, Work("run_1", is_finished=True, is_batch=False)),
        ({**RUN, "status": "expired"}, Work("run_1", is_finished=True, is_batch=False)),
        ({**RUN, "status": "failed"}, Work("run_1", True, False, is_broken_off=True)),
        ({**RUN, "status": "cancelled"}, Work("run_1", True, False, True, is_cancelled=True)),
        ({**RUN, "object": "thread.run.step", "status": "completed"}, None),
        ({"object": "list", "data": [RUN]}, None),
    ],
)
def test_work_that_goes_on_by_itself_is_known_by_its_answer(document: object, work: Work | None) -> None:
    meter = JSONMeter()
    meter.feed(json.dumps(document).encode())

    assert meter.work() == work


def test_work_is_known_by_the_events_of_a_stream() -> None:
    meter = meter_for(METERED, SSE)
    meter.feed(sse({"type": "response.created", "response": QUEUED}).removesuffix(b"data: [DONE]\n\n"))
    assert meter.work() == Work("resp_1", is_finished=False, is_batch=False)
    meter.feed(b'data: {"type":"response.completed","response":' + json.dumps(DONE).encode() + b"}\n\n")
    assert meter.work() == Work("resp_1", is_finished=True, is_batch=False)


def test_a_stream_that_is_resumed_is_work_that_is_found_finished() -> None:
    meter = meter_for(METERED, SSE)
    meter.feed(sse({"type": "response.output_text.delta", "delta": "a"}).removesuffix(b"data: [DONE]\n\n"))
    meter.feed(b'data: {"type":"response.completed","response":' + json.dumps(DONE).encode() + b"}\n\n")

    assert meter.work() == Work("resp_1", is_finished=True, is_batch=False)
    assert meter.finish() == Usage("m", 1, 2)


@pytest.mark.parametrize(
    "odd",
    [
        {"model": 5},
        {"service_tier": ["x"], "response": "y"},
        {"usage": {"prompt_tokens": 11, "completion_tokens": 22, "prompt_tokens_details": 3}},
        {"usage": {"prompt_tokens": 10.5, "completion_tokens": 22, "seconds": "x"}},
        {
            "usage": {
                "prompt_tokens": 11,
                "completion_tokens": 22,
                "prompt_tokens_details": {"cached_tokens": -1},
            }
        },
    ],
)
def test_one_odd_member_loses_nothing_but_itself(odd: dict[str, object]) -> None:
    document = {"usage": {"prompt_tokens": 11, "completion_tokens": 22}, **odd}
    assert read_usage(json.dumps(document).encode()) == Usage(input_tokens=11, output_tokens=22)


@pytest.mark.parametrize("nonsense", [-3, 10**10 + 1, 2**53, "x", True])
def test_a_count_that_cannot_be_one_is_not_believed(nonsense: object) -> None:
    usage = {"prompt_tokens": nonsense, "completion_tokens": 22}
    assert read_usage(json.dumps({"usage": usage}).encode()) == Usage(output_tokens=22)
    usage = {"prompt_tokens": 11, "completion_tokens": nonsense}
    assert read_usage(json.dumps({"usage": usage}).encode()) is None


class CountedGunzip:
    """As zlib's; all of them count together what they give."""

    inflated_bytes = 0

    def __init__(self) -> None:
        self._own = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)

    def __getattr__(self, name: str) -> object:
        return getattr(self._own, name)

    def decompress(self, chunk: bytes, most: int) -> bytes:
        part = self._own.decompress(chunk, most)
        CountedGunzip.inflated_bytes += len(part)
        return part


@pytest.mark.parametrize("media", [JSON, SSE])
def test_what_inflates_beyond_all_measure_is_not_read(
    media: list[tuple[bytes, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.metering.meter._gunzip", CountedGunzip)
    monkeypatch.setattr(CountedGunzip, "inflated_bytes", 0)
    meter = meter_for(METERED, [*media, GZIP])
    bomb = gzip.compress(b"\n" * 60 * 1024 * 1024)
    for _ in range(100):
        meter.feed(bomb)

    assert 0 < CountedGunzip.inflated_bytes <= MAX_INFLATED_CHUNK_BYTES + INFLATED_STEP_BYTES
    assert not meter.is_cut_off


def test_a_long_answer_in_small_chunks_that_inflate_much_is_not_read_on() -> None:
    meter = meter_for(METERED, [*JSON, GZIP])
    body = gzip.compress(b" " * 20 * 1024 * 1024 + json.dumps(CHAT).encode())
    for start in range(0, len(body), 500):
        meter.feed(body[start : start + 500])

    assert meter.finish() is None


def test_an_answer_that_is_compressed_as_well_as_answers_are_is_read() -> None:
    document = {"data": [{"embedding": [0.125, -0.25] * 500}] * 200, **CHAT}
    body = gzip.compress(json.dumps(document).encode())
    meter = meter_for(METERED, [*JSON, GZIP])
    for start in range(0, len(body), 65536):
        meter.feed(body[start : start + 65536])

    assert meter.finish() == USED

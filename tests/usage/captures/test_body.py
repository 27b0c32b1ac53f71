"""What is kept of a body."""

import gzip
import json
import random

import pytest

from usage.captures.body import KeptBody, kept
from usage.captures.raw import RawBody
from usage.captures.redaction import Redaction

DOCUMENT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Say hello " * 50}]}


def keep(
    data: bytes, media_type: str = "application/json", coding: str = "identity", max_bytes: int = 10_000
) -> KeptBody:
    raw = RawBody(media_type, coding, len(data))
    if raw.is_readable:
        raw.data += data[:max_bytes]
    return kept(raw, Redaction(), max_bytes)


def test_a_whole_document_is_kept() -> None:
    found = keep(json.dumps(DOCUMENT).encode())
    assert (json.loads(found.text or ""), found.is_cut, found.note) == (DOCUMENT, False, "")


def test_a_longer_one_is_cut_and_says_so() -> None:
    found = keep(json.dumps(DOCUMENT).encode(), max_bytes=200)
    assert found.is_cut
    assert found.size_bytes > 200
    text = json.loads(found.text or "")["messages"][0]["content"]
    assert len(text) > 100
    assert text in str(DOCUMENT["messages"])


@pytest.mark.parametrize("max_bytes", [10_000, 60])
def test_a_compressed_one_is_kept_as_what_it_says(max_bytes: int) -> None:
    found = keep(gzip.compress(json.dumps(DOCUMENT).encode()), coding="gzip", max_bytes=max_bytes)
    assert '"model":"gpt-4o"' in (found.text or "")
    assert found.is_cut == (max_bytes == 60)


def test_what_inflates_beyond_all_bounds_is_cut() -> None:
    found = keep(gzip.compress(json.dumps(["a b " * 10**6]).encode()), coding="gzip")
    assert found.is_cut
    assert len(found.text or "") <= 10_010


def test_members_of_a_gzip_stream_are_one_body() -> None:
    data = gzip.compress(b'{"a": ') + gzip.compress(b"1}")
    assert (keep(data, coding="gzip").text, keep(data, coding="gzip").is_cut) == ('{"a":1}', False)


@pytest.mark.parametrize(
    ("data", "media_type", "coding"),
    [
        (b"RIFF....", "audio/wav", "identity"),
        (b"--x\r\n", "multipart/form-data", "identity"),
        (b"<html>", "text/html", "identity"),
        (b"\x1b\x10", "application/json", "br"),
        (b"not JSON", "application/json", "identity"),
        (b"\xff\xfe", "application/json", "identity"),
        (b"not gzip", "application/json", "gzip"),
        (b"", "application/json", "identity"),
    ],
)
def test_what_cannot_be_redacted_is_not_kept_but_told_of(data: bytes, media_type: str, coding: str) -> None:
    found = keep(data, media_type, coding)
    assert found.text is None
    assert found.note
    assert (found.media_type, found.size_bytes) == (media_type, len(data))


def test_a_stream_is_kept_line_by_line() -> None:
    stream = (
        b': ping with words\n\nevent: response.created\r\ndata: {"a": "Hi"}\n\n'
        b"data: secret words\n\nnonsense: secret\ndata: [DONE]\n\n"
    )
    assert keep(stream, "text/event-stream").text == (
        ':\n\nevent: response.created\ndata: {"a":"Hi"}\n\ndata: [not JSON]\n\n:\ndata: [DONE]\n\n'
    )


def test_a_stream_that_is_cut_keeps_what_came_of_its_last_event() -> None:
    found = keep(b'data: {"a": "One"}\n\ndata: {"b": "Two words and', "text/event-stream", max_bytes=40)
    assert found.text == 'data: {"a":"One"}\n\ndata: {"b":"Two "}'


def test_half_a_character_at_the_cut_is_left_out() -> None:
    data = json.dumps({"a": "ä ö ü ß"}, ensure_ascii=False).encode()
    for length in range(6, len(data)):
        assert keep(data, max_bytes=length).text is not None


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b'{"a": [1, {"b": "sk-1234', '{"a":[1,{"b":""}]}'),
        (b'{"a": "caf\xc3', '{"a":""}'),
        (b'{"a": "one caf\xc3\xa9 tw', '{"a":"one café "}'),
    ],
)
def test_of_a_document_that_breaks_off_its_beginning_is_kept(data: bytes, text: str) -> None:
    found = keep(data)
    assert (found.text, found.is_cut) == (text, True)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b'data: {"a": 1}\n\ndata: {"b": "caf\xc3', 'data: {"a":1}\n\ndata: {"b":""}'),
        (b'data: {"a": 1}\n\ndata: {"b": "sk-12', 'data: {"a":1}\n\ndata: {"b":""}'),
        (b'data: {"a": 1}\n\nid: sk-12', 'data: {"a":1}\n\n'),
        (b'data: {"a": 1}\n\ndata: [DONE]', 'data: {"a":1}\n\ndata: [DONE]'),
    ],
)
def test_of_a_stream_that_breaks_off_all_is_kept_that_came(data: bytes, text: str) -> None:
    assert keep(data, "text/event-stream").text == text


def test_a_stream_of_many_members_takes_no_time() -> None:
    """By the square of its length it would take so many minutes that the run would be ended."""
    data = gzip.compress(b"") * 500_000
    assert keep(data, coding="gzip", max_bytes=len(data)).text is None


@pytest.mark.parametrize("words", [1, 400, 1000, 10_000])
@pytest.mark.parametrize("members", [1, 3])
def test_what_is_compressed_is_found_whatever_its_size(words: int, members: int) -> None:
    said = random.Random(words)  # noqa: S311 (no secret)
    data = json.dumps({"a": " ".join(said.randbytes(4).hex() for _ in range(words))}).encode()
    size = -(-len(data) // members)
    pieces = [gzip.compress(data[begin : begin + size]) for begin in range(0, len(data), size)]
    found = keep(b"".join(pieces) + b"\0" * 5000, coding="gzip", max_bytes=300_000)
    assert (json.loads(found.text or ""), found.is_cut) == (json.loads(data), False)

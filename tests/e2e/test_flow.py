"""Slow readers, large bodies, hang-ups and endings: what a client's pace does to the server."""

import hashlib
import json
import select
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from openai import OpenAI

from llm_proxy_site.fake_upstream import pattern_sha256
from proxy.errors import Restarting
from tests.factories import issue_token
from tests.live import LiveProxy, eventually
from usage.models import UsageRecord

MB = 1024 * 1024
SIZE = 200 * MB
STREAM = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], "stream": True}


def test_a_200_mb_upload_and_download_by_the_sdk_need_little_memory(
    private_live: LiveProxy, tmp_path: Path
) -> None:
    live = private_live
    token, plain = issue_token()
    file = tmp_path / "big.jsonl"
    with file.open("wb") as zeros:
        zeros.truncate(SIZE)
    digest = hashlib.sha256()
    with OpenAI(base_url=live.base_url, api_key=plain, timeout=120, max_retries=0) as client:
        client.models.list()
        before = live.rss_bytes()
        uploaded = client.files.create(file=file, purpose="batch")
        after_upload = live.rss_bytes()
        with client.files.with_streaming_response.content(f"file-size-{SIZE}") as download:
            for chunk in download.iter_bytes():
                digest.update(chunk)
        after_download = live.rss_bytes()

    assert uploaded.bytes == SIZE
    assert digest.hexdigest() == pattern_sha256(SIZE)
    assert after_upload - before < 32 * MB
    assert after_download - before < 32 * MB
    records = eventually(lambda: (r := list(UsageRecord.objects.filter(token=token))) and len(r) == 3 and r)
    assert max(record.request_bytes for record in records) > SIZE
    assert max(record.response_bytes for record in records) == SIZE


def test_a_client_that_reads_nothing_holds_little_memory(private_live: LiveProxy) -> None:
    live = private_live
    token, plain = issue_token()
    before = live.rss_bytes()
    peak = before
    with _sent(live, f"GET /v1/files/file-size-{SIZE}/content HTTP/1.1", plain) as connection:
        connection.recv(100)
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            peak = max(peak, live.rss_bytes())
            time.sleep(0.05)

    assert peak - before < 16 * MB
    record = eventually(lambda: UsageRecord.objects.filter(token=token).first())
    assert record.outcome == "client_closed"
    assert record.response_bytes < 16 * MB


def test_a_hangup_in_a_stream_closes_upstream_within_a_second(live: LiveProxy) -> None:
    token, plain = issue_token()
    with httpx.Client(headers={"authorization": f"Bearer {plain}"}) as client:
        headers = {"x-fake-chunk-delay-ms": "100", "x-fake-chunks": "600", "x-marker": "hangup-1"}
        with client.stream(
            "POST", f"{live.base_url}/chat/completions", json=STREAM, headers=headers
        ) as answer:
            next(answer.iter_raw())

    hung_up_at = time.time()
    (request,) = eventually(
        lambda: [r for r in live.upstream_requests("hangup-1") if r["state"] != "running"], within_seconds=5
    )
    assert request["state"] == "closed_by_client"
    assert request["ended_at"] - hung_up_at < 1
    record = eventually(lambda: UsageRecord.objects.filter(token=token).first())
    assert (record.outcome, record.status) == ("client_closed", 200)
    assert UsageRecord.objects.filter(token=token).count() == 1


def test_a_hangup_after_the_last_event_is_no_hangup(live: LiveProxy) -> None:
    token, plain = issue_token()
    with httpx.Client(headers={"authorization": f"Bearer {plain}"}) as client:
        headers = {"x-fake-end-delay-ms": "60000", "x-marker": "hangup-4"}
        with client.stream(
            "POST", f"{live.base_url}/chat/completions", json=STREAM, headers=headers
        ) as answer:
            assert "data: [DONE]" in answer.iter_lines()

    eventually(lambda: live.upstream_requests("hangup-4")[0]["state"] == "closed_by_client", within_seconds=5)
    record = eventually(lambda: UsageRecord.objects.filter(token=token).first())
    assert (record.outcome, record.cost_source) == ("completed", "price")


def test_a_hangup_before_the_first_byte_closes_upstream(live: LiveProxy) -> None:
    token, plain = issue_token()
    with _sent(live, "GET /v1/models HTTP/1.1", plain, "x-fake-hang: 1", "x-marker: hangup-2"):
        eventually(lambda: live.upstream_requests("hangup-2"))

    eventually(lambda: live.upstream_requests("hangup-2")[0]["state"] == "closed_by_client", within_seconds=5)
    record = eventually(lambda: UsageRecord.objects.filter(token=token).first())
    assert (record.outcome, record.status) == ("client_closed", None)


def test_a_hangup_in_the_middle_of_an_upload_ends_both_sides(live: LiveProxy) -> None:
    token, plain = issue_token()
    with _sent(
        live,
        "POST /v1/files HTTP/1.1",
        plain,
        "content-length: 1000000",
        "content-type: x/y",
        "x-marker: hangup-3",
    ) as connection:
        connection.sendall(b"x" * 300_000)
        eventually(lambda: live.upstream_requests("hangup-3"))

    eventually(lambda: live.upstream_requests("hangup-3")[0]["state"] != "running", within_seconds=5)
    record = eventually(lambda: UsageRecord.objects.filter(token=token).first())
    assert record.outcome == "client_closed"


def test_a_large_upload_with_a_bad_token_is_refused_before_it_is_read(live: LiveProxy) -> None:
    with _sent(live, "POST /v1/files HTTP/1.1", "sk-wt-bad", f"content-length: {SIZE}") as connection:
        connection.settimeout(5)
        answer = connection.recv(4096)
        connection.sendall(b"x" * MB)  # still read, for a moment, and forgotten

    assert answer.startswith(b"HTTP/1.1 401")
    assert b"connection: close" in answer.lower()


def test_a_body_that_says_it_is_too_large_is_refused(live: LiveProxy) -> None:
    _, plain = issue_token()
    with _sent(live, "POST /v1/files HTTP/1.1", plain, f"content-length: {700 * MB}") as connection:
        answer = connection.recv(4096)

    assert answer.startswith(b"HTTP/1.1 413")
    assert b"request_too_large" in answer


def test_a_connection_serves_one_request_after_another(live: LiveProxy) -> None:
    _, plain = issue_token()
    request = f"GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {plain}\r\n\r\n".encode()
    with _connected(live) as connection:
        connection.settimeout(5)
        for pipelined in (1, 2):
            connection.sendall(request * pipelined)
            received = b""
            while received.count(b'"object":"list"') < pipelined:
                received += connection.recv(65536)

            assert received.count(b"HTTP/1.1 200") == pipelined


def test_sigterm_lets_a_stream_end_whole_and_keeps_its_record(private_live: LiveProxy) -> None:
    live = private_live
    token, plain = issue_token()
    headers = {"authorization": f"Bearer {plain}", "x-fake-chunk-delay-ms": "100", "x-fake-chunks": "15"}
    with (
        httpx.Client(headers=headers) as client,
        client.stream("POST", f"{live.base_url}/chat/completions", json=STREAM) as answer,
    ):
        chunks = answer.iter_raw()
        received = next(chunks)
        live.process.send_signal(signal.SIGTERM)
        eventually(lambda: not _accepts(live))
        received += b"".join(chunks)

    assert received.endswith(b"data: [DONE]\n\n")
    assert live.process.wait(10) == 0
    assert UsageRecord.objects.get(token=token).outcome == "completed"


def test_sigterm_closes_idle_connections_and_exits_at_once(private_live: LiveProxy) -> None:
    with httpx.Client() as client:
        client.get(f"{private_live.url}/live").raise_for_status()
        private_live.process.send_signal(signal.SIGTERM)

        assert private_live.process.wait(5) == 0


def test_an_answer_that_begins_after_sigterm_says_that_its_connection_ends(private_live: LiveProxy) -> None:
    _, plain = issue_token()
    with _sent(private_live, "GET /v1/models HTTP/1.1", plain, "x-fake-delay-ms: 1000") as connection:
        eventually(lambda: private_live.upstream_stats()["running"] == 1)
        private_live.process.send_signal(signal.SIGTERM)
        answer = connection.recv(65536)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nconnection: close\r\n" in answer.lower()
    assert private_live.process.wait(10) == 0


def test_requests_that_were_sent_ahead_are_answered_after_sigterm(private_live: LiveProxy) -> None:
    _, plain = issue_token()
    second = f"GET /v1/models HTTP/1.1\r\nhost: proxy\r\nauthorization: Bearer {plain}\r\n\r\n".encode()
    with _sent(private_live, "GET /v1/models HTTP/1.1", plain, "x-fake-delay-ms: 1000") as connection:
        connection.sendall(second)
        eventually(lambda: private_live.upstream_stats()["running"] == 1)
        private_live.process.send_signal(signal.SIGTERM)
        received = b""
        while part := connection.recv(65536):
            received += part

    assert received.count(b"HTTP/1.1 200 ") == 2
    assert received.lower().count(b"\r\nconnection: close\r\n") == 1


def test_a_head_that_has_begun_before_sigterm_is_waited_for(private_live: LiveProxy) -> None:
    _, plain = issue_token()
    with _connected(private_live) as connection, _connected(private_live) as idle:
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nhost: proxy\r\n")
        assert not _is_readable(connection, seconds=0.5)
        private_live.process.send_signal(signal.SIGTERM)
        assert idle.recv(1) == b""  # so has been the look at those that say nothing
        connection.sendall(f"authorization: Bearer {plain}\r\n\r\n".encode())

        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("private_live", [{"SHUTDOWN_GRACE_SECONDS": "0.5"}], indirect=True)
def test_what_outlasts_the_grace_is_told_so_and_recorded(private_live: LiveProxy) -> None:
    live = private_live
    token, plain = issue_token()
    slowly = ("x-fake-chunk-delay-ms: 100", "x-fake-chunks: 600")
    with _asking(live, plain, *slowly) as stream, _asking(live, plain, "x-fake-delay-ms: 60000") as silent:
        received = stream.recv(65536)
        eventually(lambda: live.upstream_stats()["running"] == 2)
        live.process.send_signal(signal.SIGTERM)
        received += _rest_of(stream)
        answer = _rest_of(silent)

    assert live.process.wait(10) == 0
    assert received.count(b'"chat.completion.chunk"') > 1
    assert received.endswith(Restarting().event() + b"\r\n0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"\r\nretry-after: 1\r\n" in answer.lower()
    assert answer.endswith(Restarting().body())
    records = UsageRecord.objects.filter(token=token).values_list("outcome", "error_code")
    assert list(records) == [("interrupted", "restarting")] * 2


@pytest.mark.parametrize("private_live", [{"SHUTDOWN_GRACE_SECONDS": "0.5"}], indirect=True)
@pytest.mark.parametrize("rest", [b"", b"}".rjust(99)])
def test_nothing_begins_once_the_grace_is_over(private_live: LiveProxy, rest: bytes) -> None:
    """Neither a request whose body then comes, or does not, nor another one behind a stream that was told."""
    live = private_live
    token, plain = issue_token()
    chat = "POST /v1/chat/completions HTTP/1.1"
    declared = ("content-type: application/json", "content-length: 100", "x-marker: late")
    slowly = ("x-fake-chunk-delay-ms: 100", "x-fake-chunks: 600")
    with _asking(live, plain, *slowly) as stream, _sent(live, chat, plain, *declared) as coming:
        coming.sendall(b"{")
        eventually(lambda: live.upstream_stats()["running"] == 1)
        live.process.send_signal(signal.SIGTERM)
        received = b""
        while not received.endswith(Restarting().event() + b"\r\n0\r\n\r\n"):
            received += stream.recv(65536) or pytest.fail("the stream broke off")
        coming.sendall(rest)
        with suppress(OSError):
            stream.sendall(_head(chat, plain, *declared) + b"{}".rjust(100))
            assert _rest_of(stream) == b""
        answer = _rest_of(coming)

    assert live.process.wait(10) == 0
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert answer.endswith(Restarting().body())
    assert live.upstream_requests("late") == []
    records = UsageRecord.objects.filter(token=token).values_list("outcome", "error_code")
    assert list(records) == [("interrupted", "restarting")] * 2


def _asking(live: LiveProxy, plain: str, *headers: str) -> socket.socket:
    """A connection on which a chat has been asked for, as a stream."""
    body = json.dumps(STREAM).encode()
    lengths = ("content-type: application/json", f"content-length: {len(body)}")
    connection = _sent(live, "POST /v1/chat/completions HTTP/1.1", plain, *lengths, *headers)
    connection.sendall(body)
    return connection


def _rest_of(connection: socket.socket) -> bytes:
    """What comes until the server closes it."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def _connected(live: LiveProxy) -> socket.socket:
    parts = urlsplit(live.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=10)


def _sent(live: LiveProxy, line: str, plain: str, *headers: str) -> socket.socket:
    """A connection on which the head of a request has been sent."""
    connection = _connected(live)
    connection.sendall(_head(line, plain, *headers))
    return connection


def _head(line: str, plain: str, *headers: str) -> bytes:
    return "\r\n".join([line, "host: proxy", f"authorization: Bearer {plain}", *headers, "", ""]).encode()


def _is_readable(connection: socket.socket, *, seconds: float) -> bool:
    return bool(select.select([connection], [], [], seconds)[0])


def _accepts(live: LiveProxy) -> bool:
    try:
        _connected(live).close()
    except OSError:
        return False
    return True

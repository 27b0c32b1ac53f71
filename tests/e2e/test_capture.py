"""Bodies that a project keeps: by real requests, in the database and in nothing else."""

import json
import signal
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from django.db import connection
from openai import OpenAI

from projects.lifecycle import update_project
from tests.factories import ProjectFactory, issue_token, stored_text
from tests.live import LiveProxy, eventually, serving
from tests.metrics import TOKEN, scrape, total
from tokens.models import AccessToken
from usage.captures.body import KeptBody
from usage.captures.content import Content, reveal
from usage.models import CapturedBodies, UsageRecord
from usage.sampling import is_sampled

MARKER = "Quetzalcoatl"
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": f"Tell me of {MARKER}"}]}
ID = "x-llm-proxy-request-id"


def a_token(**policy: Any) -> tuple[AccessToken, str]:
    return issue_token(project=ProjectFactory.create(**{"capture_policy": "all", **policy}))


def ask(live: LiveProxy, plain: str, path: str = "/chat/completions", **how: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {plain}", **how.pop("headers", {})}
    if "content" not in how and "files" not in how:
        how.setdefault("json", CHAT)
    return httpx.post(f"{live.base_url}{path}", headers=headers, timeout=30, **how)


def captured(answer: httpx.Response) -> Content:
    """Of this request, as soon as it is there."""
    row = eventually(lambda: CapturedBodies.objects.filter(pk=answer.headers[ID]).first())
    return reveal(row.ciphertext)


def document(body: KeptBody) -> Any:
    assert body.text is not None, body
    return json.loads(body.text)


def recorded(token: AccessToken, count: int) -> None:
    eventually(lambda: UsageRecord.objects.filter(token=token).count() == count)


def test_nothing_is_kept_unless_a_project_says_so(live: LiveProxy) -> None:
    token, plain = a_token(capture_policy="off")
    other, other_plain = a_token(capture_sample=0)
    kept = ask(live, a_token()[1])
    ask(live, plain)
    ask(live, other_plain)
    recorded(token, 1)
    recorded(other, 1)
    captured(kept)
    assert CapturedBodies.objects.count() == 1


def test_a_request_and_its_answer_are_kept_without_what_is_redacted(live: LiveProxy) -> None:
    _, plain = a_token(capture_redacted=["messages[].content"])
    body = {**CHAT, "user": "ada@example.com", "metadata": {"api_key": "sk-1234567890", "n": 1}}
    answer = ask(live, plain, json=body)
    content = captured(answer)
    assert document(content.request) == {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "[redacted]"}],
        "user": "[redacted]",
        "metadata": {"api_key": "[redacted]", "n": 1},
    }
    assert content.request.size_bytes == len(answer.request.content)
    assert document(content.answer)["id"] == answer.json()["id"]
    assert document(content.answer)["usage"] == answer.json()["usage"]
    assert not content.answer.is_cut


def test_a_stream_is_kept_as_it_passed(live: LiveProxy) -> None:
    _, plain = a_token()
    with OpenAI(base_url=live.base_url, api_key=plain, max_retries=0) as client:
        raw = client.chat.completions.with_raw_response.create(
            model="gpt-4o", messages=[{"role": "user", "content": "Hi"}], stream=True
        )
        words = "".join(chunk.choices[0].delta.content or "" for chunk in raw.parse() if chunk.choices)
    content = captured(httpx.Response(200, headers={ID: raw.headers[ID]}))
    assert content.answer.media_type == "text/event-stream"
    lines = (content.answer.text or "").split("\n\n")
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]
    kept = "".join(event["choices"][0]["delta"].get("content") or "" for event in events if event["choices"])
    assert kept == words
    assert "data: [DONE]" in lines


def test_longer_bodies_are_cut_where_the_project_says(live: LiveProxy) -> None:
    _, plain = a_token(capture_max_bytes=1024)
    text = "word " * 1000
    answer = ask(live, plain, json={"model": "gpt-4o", "messages": [{"role": "user", "content": text}]})
    content = captured(answer)
    assert content.request.is_cut
    assert content.request.size_bytes > 5000
    kept = document(content.request)["messages"][0]["content"]
    assert text.startswith(kept)
    assert 900 < len(kept) < 1024


def test_a_large_streamed_body_is_kept_up_to_its_bound(live: LiveProxy) -> None:
    _, plain = a_token(capture_max_bytes=2048)
    body = json.dumps(
        {"model": "gpt-4o", "input": "word " * 600_000}
    ).encode()  # more than is read by the way
    answer = ask(live, plain, "/embeddings", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 200
    content = captured(answer)
    assert (content.request.size_bytes, content.request.is_cut) == (len(body), True)
    assert len(content.request.text or "") <= 2048


def test_an_answer_that_comes_compressed_is_kept_as_what_it_says(live: LiveProxy) -> None:
    _, plain = a_token()
    answer = ask(live, plain, headers={"accept-encoding": "gzip", "x-fake-encoding": "gzip"})
    assert answer.headers.get("content-encoding") == "gzip"
    content = captured(answer)
    assert document(content.answer) == {**answer.json(), "choices": document(content.answer)["choices"]}


def test_files_and_sounds_are_told_of_and_not_kept(live: LiveProxy) -> None:
    _, plain = a_token()
    upload = ask(
        live, plain, "/files", files={"file": ("a.jsonl", f"{{{MARKER}}}\n")}, data={"purpose": "batch"}
    )
    content = captured(upload)
    assert (content.request.text, content.request.media_type) == (None, "multipart/form-data")
    assert content.request.size_bytes == int(upload.request.headers["content-length"])
    assert document(content.answer)["object"] == "file"
    speech = ask(live, plain, "/audio/speech", json={"model": "tts-1", "input": "Hi", "voice": "alloy"})
    content = captured(speech)
    assert content.answer.text is None
    assert content.answer.media_type.startswith("audio/")
    assert content.answer.size_bytes == len(speech.content)


def test_only_what_did_not_go_well_is_kept_where_a_project_says_so(live: LiveProxy) -> None:
    token, plain = a_token(capture_policy="failures")
    well = ask(live, plain)
    failed = ask(live, plain, headers={"x-fake-status": "400"})
    assert (well.status_code, failed.status_code) == (200, 400)
    assert "error" in document(captured(failed).answer)
    recorded(token, 2)
    assert not CapturedBodies.objects.filter(pk=well.headers[ID]).exists()


def test_what_is_refused_before_upstream_is_asked_is_not_kept(live: LiveProxy) -> None:
    token, plain = a_token(rules={"models": ["gpt-4o-mini"]})
    assert ask(live, plain).status_code == 403
    recorded(token, 1)
    later = captured(ask(live, plain, json={**CHAT, "model": "gpt-4o-mini"}))
    assert later.request.text
    assert CapturedBodies.objects.count() == 1


def test_a_share_of_the_requests_is_kept_the_same_as_elsewhere(live: LiveProxy) -> None:
    token, plain = a_token(capture_sample=0.4)
    ids = {UUID(ask(live, plain).headers[ID]) for _ in range(20)}
    expected = {each for each in ids if is_sampled(each, 0.4)}
    recorded(token, 20)
    eventually(lambda: set(CapturedBodies.objects.values_list("pk", flat=True)) == expected)


def test_a_client_that_leaves_leaves_what_came_until_then(live: LiveProxy) -> None:
    token, plain = a_token()
    headers = {"authorization": f"Bearer {plain}", "x-fake-chunk-delay-ms": "200"}
    with httpx.stream(
        "POST", f"{live.base_url}/chat/completions", json={**CHAT, "stream": True}, headers=headers
    ) as answer:
        next(answer.iter_raw())
        found = httpx.Response(200, headers={ID: answer.headers[ID]})
    content = captured(found)
    assert (content.answer.text or "").startswith("data: {")
    assert "[DONE]" not in (content.answer.text or "")
    recorded(token, 1)


def test_turning_it_off_is_felt_soon_and_keeps_what_there_is(live: LiveProxy) -> None:
    token, plain = a_token()
    _, other = a_token()
    first = ask(live, plain)
    captured(first)
    update_project(token.project, capture_policy="off", actor="user:ada")

    def is_off() -> bool:
        answer = ask(live, plain)
        captured(ask(live, other))  # one after the other they are written
        return not CapturedBodies.objects.filter(pk=answer.headers[ID]).exists()

    eventually(is_off)
    assert CapturedBodies.objects.filter(pk=first.headers[ID]).exists()


def test_bodies_lie_nowhere_in_plain_text(private_live: LiveProxy, tmp_path: Path) -> None:
    live = private_live
    _, plain = a_token()
    for _ in range(3):
        captured(ask(live, plain))
    with pytest.raises(httpx.RemoteProtocolError):
        ask(live, plain, json={**CHAT, "stream": True}, headers={"x-fake-cut-after": "3"})
    eventually(lambda: CapturedBodies.objects.count() == 4)
    live.process.send_signal(signal.SIGTERM)
    live.process.wait(30)
    assert MARKER not in stored_text()
    assert MARKER not in live.log()
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    database = Path(str(connection.settings_dict["NAME"]))
    files += [file for file in database.parent.glob(f"{database.name}*") if file.is_file()]
    assert files
    for file in files:
        assert MARKER.encode() not in file.read_bytes(), file


def test_a_killed_process_loses_captures_but_no_record(
    django_db_setup: None, transactional_db: None, tmp_path: Path
) -> None:
    token, plain = a_token()
    with serving(tmp_path, LEDGER_BATCH_SECONDS="3600") as live:
        for _ in range(5):
            assert ask(live, plain).status_code == 200
        live.kill()
    with serving(tmp_path) as live:
        assert ask(live, plain).status_code == 200
        recorded(token, 6)
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or MARKER.encode() not in file.read_bytes()


@pytest.mark.parametrize(
    "private_live",
    [{"CAPTURE_MAX_PENDING_BYTES": str(1024 * 1024), "METRICS_TOKEN": TOKEN}],
    indirect=True,
)
def test_what_waits_is_bounded_and_what_finds_no_room_is_counted(private_live: LiveProxy) -> None:
    live = private_live
    token, plain = a_token(capture_max_bytes=1024 * 1024)
    body = json.dumps({**CHAT, "user": "word " * 250_000}).encode()
    answers = [ask(live, plain, content=body, headers={"content-type": "application/json"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    recorded(token, 2)
    small = captured(ask(live, plain))
    assert document(small.request) == CHAT
    assert eventually(lambda: total(scrape(live), "llm_proxy_captures_dropped_total")) == 2
    assert CapturedBodies.objects.count() == 1

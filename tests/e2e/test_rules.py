"""What the rules of projects and tokens refuse, seen from outside; what is refused never reaches upstream."""

import json
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from django.utils import timezone
from openai import OpenAI, PermissionDeniedError

from llm_proxy_site.processes import manage
from tests.e2e.test_refusals import database_of_the_test
from tests.factories import ProjectFactory, issue_token
from tests.live import LiveProxy, eventually
from tokens.models import AccessToken
from usage.models import UsageRecord

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}
FORM = {"model": (None, "whisper-1"), "file": ("a.mp3", b"\x00" * 100, "audio/mpeg")}


def token(rules: dict[str, Any], of_project: dict[str, Any] | None = None, **fields: Any) -> str:
    """The plain text of a token with these rules."""
    project = ProjectFactory.create(rules=of_project or {})
    return issue_token(project=project, rules=rules, **fields)[1]


def post(
    live: LiveProxy, plain: str, body: Any = CHAT, path: str = "/chat/completions", **headers: str
) -> httpx.Response:
    return httpx.post(
        f"{live.base_url}{path}",
        content=body if isinstance(body, bytes) else json.dumps(body).encode(),
        headers={"authorization": f"Bearer {plain}", "content-type": "application/json", **headers},
    )


def upload(live: LiveProxy, plain: str, files: Any, path: str = "/audio/transcriptions") -> httpx.Response:
    return httpx.post(f"{live.base_url}{path}", files=files, headers={"authorization": f"Bearer {plain}"})


def told(answer: httpx.Response) -> tuple[int, str, str | None]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["param"]


def test_a_request_within_its_rules_passes_untouched(live: LiveProxy) -> None:
    plain = token(
        {
            "models": ["gpt-4o*"],
            "endpoints": ["chat"],
            "networks": ["127.0.0.0/8"],
            "max_body_bytes": 1000,
            "parameters": [{"name": "max_tokens", "maximum": 5, "required": True}],
        },
        {"models": ["*-mini"]},
    )
    body = b'{ "model":"gpt-4o-mini", "max_tokens":5,"messages":[{"role":"user","content":"Hi"}] }'
    answer = post(live, plain, body, "/chat/completions?m=within-rules")
    assert answer.status_code == 200
    (request,) = live.upstream_requests("within-rules")
    assert request["body_bytes"] == len(body)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"models": ["gpt-4o"]}, (403, "model_not_allowed", "model")),
        ({"endpoints": ["models"]}, (403, "endpoint_not_allowed", None)),
        ({"networks": ["10.0.0.0/8"]}, (403, "ip_not_allowed", None)),
        ({"max_body_bytes": 10}, (413, "request_too_large", None)),
        (
            {"parameters": [{"name": "max_tokens", "maximum": 4}]},
            (403, "param_not_allowed", "max_tokens"),
        ),
        (
            {"parameters": [{"name": "messages[].role", "forbidden_values": ["user"]}]},
            (403, "param_not_allowed", "messages[].role"),
        ),
        (
            {"parameters": [{"name": "user", "required": True}]},
            (403, "param_not_allowed", "user"),
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
@pytest.mark.parametrize("is_of_project", [True, False])
def test_each_rule_refuses_be_it_of_the_token_or_of_its_project(
    live: LiveProxy, rules: dict[str, Any], expected: tuple[int, str, str | None], is_of_project: bool
) -> None:
    plain = token({}, rules) if is_of_project else token(rules, {"models": ["*"]})
    assert told(post(live, plain, path="/chat/completions?m=rule-marker")) == expected
    assert live.upstream_requests("rule-marker") == []
    record = eventually(lambda: UsageRecord.objects.filter(error_code=expected[1]).first())
    assert (record.outcome, record.is_admitted, record.endpoint) == ("refused", False, "/chat/completions")


def test_a_model_is_seen_in_path_and_form_too(live: LiveProxy) -> None:
    plain = token({"models": ["gpt-4o-mini", "whisper-1"]})
    headers = {"authorization": f"Bearer {plain}"}
    refused = (403, "model_not_allowed", "model")
    assert httpx.get(f"{live.base_url}/models/gpt-4o-mini", headers=headers).status_code == 200
    assert told(httpx.get(f"{live.base_url}/models/gpt-4o", headers=headers)) == refused
    assert upload(live, plain, FORM).status_code == 200
    assert told(upload(live, plain, FORM | {"model": (None, "gpt-4o-transcribe")})) == refused
    assert told(post(live, plain, {"prompt": "x"}, "/images/generations")) == refused
    assert upload(live, plain, {"file": FORM["file"], "purpose": (None, "x")}, "/files").status_code == 200


def test_the_model_of_a_form_is_in_the_ledger_where_a_budget_needs_it(live: LiveProxy) -> None:
    issued, plain = issue_token(daily_budget_microusd=50_000_000)
    assert upload(live, plain, FORM | {"model": (None, "gpt-4o-transcribe")}).status_code == 200
    record = eventually(lambda: UsageRecord.objects.filter(token=issued).first())
    assert record.model == "gpt-4o-transcribe"
    assert told(upload(live, plain, {"file": FORM["file"]})) == (400, "bad_request", "model")


def test_a_body_whose_length_is_not_declared_is_bounded_as_it_comes(live: LiveProxy) -> None:
    def chunks() -> Any:
        yield json.dumps(CHAT).encode()

    for rules in ({"max_body_bytes": 10}, {"max_body_bytes": 10, "models": ["gpt-4o-mini"]}):
        answer = httpx.post(
            f"{live.base_url}/chat/completions",
            content=chunks(),
            headers={"authorization": f"Bearer {token(rules)}", "content-type": "application/json"},
        )
        assert told(answer) == (413, "request_too_large", None)


def test_rules_in_shadow_mode_pass_and_are_noted(live: LiveProxy) -> None:
    plain = token(
        {
            "models": ["gpt-4o"],
            "endpoints": [],
            "networks": ["10.0.0.0/8"],
            "max_body_bytes": 1,
            "parameters": [{"name": "max_tokens", "maximum": 1, "shadow": True}],
            "shadow": ["models", "endpoints", "networks", "max_body_bytes"],
        }
    )
    assert post(live, plain).status_code == 200
    record = eventually(lambda: UsageRecord.objects.exclude(shadow_refusals="").first())
    assert record.outcome == "completed"
    assert record.shadow_refusals == (
        "ip_not_allowed,endpoint_not_allowed,request_too_large,model_not_allowed,param_not_allowed:max_tokens"
    )
    noted = f'"shadow_refusals":"{record.shadow_refusals}"'
    assert eventually(
        lambda: [line for line in live.log().splitlines() if str(record.id) in line and noted in line]
    )
    assert post(live, plain, b"{not json").status_code == 400  # upstream's
    assert eventually(lambda: UsageRecord.objects.filter(shadow_refusals__contains="bad_request").first())


def test_rules_are_felt_by_running_processes_within_two_seconds(live: LiveProxy) -> None:
    issued, plain = issue_token()
    assert post(live, plain).status_code == 200
    manage(
        "update_project",
        issued.project.name,
        "--rules",
        '{"models": ["gpt-4o"]}',
        environment=database_of_the_test(),
    )
    eventually(lambda: post(live, plain).status_code == 403, within_seconds=2)
    manage("update_project", issued.project.name, "--rules", "none", environment=database_of_the_test())
    eventually(lambda: post(live, plain).status_code == 200, within_seconds=2)


def test_rules_that_come_while_a_body_is_on_the_way_hold_for_it(live: LiveProxy) -> None:
    issued, plain = issue_token()
    body = json.dumps(CHAT).encode()
    parts = urlsplit(live.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall(
            b"POST /v1/chat/completions?m=late-rules HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\nAuthorization: Bearer %s\r\n\r\n{"
            % (len(body), plain.encode())
        )
        assert post(live, plain).status_code == 200  # it is known to the server, without rules
        AccessToken.objects.filter(pk=issued.pk).update(
            rules={"models": ["gpt-4o"]}, updated_at=timezone.now()
        )
        eventually(lambda: post(live, plain).status_code == 403, within_seconds=5)
        connection.sendall(body[1:])
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 403")
    assert live.upstream_requests("late-rules") == []


def test_stored_rules_that_cannot_be_read_refuse_everything(live: LiveProxy) -> None:
    assert told(post(live, token({"modles": ["gpt-4o"]}))) == (403, "endpoint_not_allowed", None)


def test_a_token_tells_its_models_and_endpoints(live: LiveProxy) -> None:
    plain = token(
        {"models": ["gpt-4o-mini", "o3"], "endpoints": ["chat", "GET /models"]},
        {"models": ["gpt-4o*"], "endpoints": ["models", "POST /chat/completions"]},
    )
    facts = httpx.get(f"{live.url}/token", headers={"authorization": f"Bearer {plain}"}).json()
    assert facts["models"] == ["gpt-4o-mini"]
    assert sorted(facts["endpoints"]) == ["GET /models", "POST /chat/completions"]


@pytest.mark.parametrize("private_live", [{"TRUSTED_PROXY_COUNT": "1"}], indirect=True)
def test_behind_a_trusted_proxy_its_word_is_taken_for_the_client(private_live: LiveProxy) -> None:
    plain = token({"networks": ["192.0.2.0/24"]})
    for forwarded, status in (
        ({"x-forwarded-for": "192.0.2.7"}, 200),
        ({"x-forwarded-for": "10.0.0.1, 192.0.2.7"}, 200),
        ({"x-forwarded-for": "192.0.2.7, 10.0.0.1"}, 403),
        ({}, 403),
    ):
        assert post(private_live, plain, **forwarded).status_code == status
    asked = httpx.get(f"{private_live.url}/token", headers={"authorization": f"Bearer {plain}"})
    assert told(asked) == (403, "ip_not_allowed", None)


def test_nobody_is_believed_who_is_not_a_trusted_proxy(live: LiveProxy) -> None:
    plain = token({"networks": ["192.0.2.0/24"]})
    assert told(post(live, plain, **{"x-forwarded-for": "192.0.2.7"})) == (403, "ip_not_allowed", None)


@pytest.mark.parametrize(("size", "noted"), [(0, "model_not_allowed"), (2_000_000, "body_not_seen")])
def test_a_body_that_only_shadow_rules_want_to_see_is_never_in_the_way(
    live: LiveProxy, size: int, noted: str
) -> None:
    plain = token({"models": [], "shadow": ["models"]})
    answer = httpx.post(
        f"{live.base_url}/chat/completions",
        content=iter([json.dumps({**CHAT, "x": "a" * size}).encode()]),
        headers={"authorization": f"Bearer {plain}", "content-type": "application/json"},
    )
    assert answer.status_code == 200
    assert eventually(lambda: UsageRecord.objects.filter(shadow_refusals=noted).first())


def test_what_the_sdk_sends_is_certain(live: LiveProxy) -> None:
    rules = {
        "models": ["gpt-4o-mini", "whisper-1", "gpt-image-1"],
        "parameters": [
            {"name": "timestamp_granularities[]", "allowed": ["word"]},
            {"name": "temperature", "maximum": 0.5},
        ],
    }
    with OpenAI(base_url=live.base_url, api_key=token(rules, {"max_body_bytes": 100_000})) as client:
        client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Grüße, 世界"}],
            tools=[{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
            temperature=0.5,
        )
        sound = ("grüße.mp3", b"--\r\n\x00\xff" * 50)
        client.audio.transcriptions.create(
            model="whisper-1", file=sound, timestamp_granularities=["word"], temperature=0.2
        )
        with pytest.raises(PermissionDeniedError) as refused:
            client.audio.transcriptions.create(
                model="whisper-1", file=sound, timestamp_granularities=["word", "segment"]
            )
        assert (refused.value.code, refused.value.param) == (
            "param_not_allowed",
            "timestamp_granularities[]",
        )
        with pytest.raises(PermissionDeniedError):
            client.images.edit(model="gpt-image-1.5", image=sound, prompt="x")


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_body_without_a_length_is_measured_when_it_has_come(live: LiveProxy, is_stream: bool) -> None:
    rules = {"max_body_bytes": 10, "shadow": ["max_body_bytes"]}
    plain = token(rules, total_budget_microusd=1_000_000)
    answer = httpx.post(
        f"{live.base_url}/chat/completions",
        content=iter([json.dumps(CHAT | {"stream": is_stream}).encode()]),
        headers={"authorization": f"Bearer {plain}", "content-type": "application/json"},
    )
    assert answer.status_code == 200
    assert eventually(lambda: UsageRecord.objects.filter(shadow_refusals="request_too_large").first())

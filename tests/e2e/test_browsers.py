"""Pages in browsers: which origins may use a token, and what browsers are told (CORS)."""

import json

import httpx
import pytest
from django.utils import timezone

from projects.lifecycle import update_project
from tests.e2e.test_rules import CHAT, token, told
from tests.factories import ProjectFactory, issue_token
from tests.live import LiveProxy, eventually
from tokens.models import AccessToken

PAGE, OTHER = "https://app.example.com", "https://evil.example"


def fetch(live: LiveProxy, plain: str, origin: str | None = PAGE, **headers: str) -> httpx.Response:
    given = {"authorization": f"Bearer {plain}", "content-type": "application/json", **headers}
    return httpx.post(
        f"{live.base_url}/chat/completions",
        content=json.dumps(CHAT).encode(),
        headers=given if origin is None else given | {"origin": origin},
    )


def preflight(live: LiveProxy, path: str, origin: str = PAGE, **headers: str) -> httpx.Response:
    asked = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-stainless-os",
    }
    return httpx.options(live.url + path, headers=asked | headers)


def test_a_listed_page_is_told_that_it_may_read_the_answer(live: LiveProxy) -> None:
    answer = fetch(live, token({"origins": [PAGE]}))
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == PAGE
    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert {"x-request-id", "x-llm-proxy-request-id", "x-ratelimit-limit-requests"} <= set(exposed)
    assert "access-control-allow-credentials" not in answer.headers
    assert answer.headers["vary"] == "origin"


def test_a_listed_page_can_read_our_errors(live: LiveProxy) -> None:
    refused = fetch(live, token({"origins": [PAGE], "models": []}))
    assert told(refused)[1] == "model_not_allowed"
    unknown = fetch(live, "sk-wt-nonsense")
    assert unknown.status_code == 401
    elsewhere = fetch(live, "sk-wt-nonsense", OTHER)
    assert [
        answer.headers.get("access-control-allow-origin") for answer in (refused, unknown, elsewhere)
    ] == [
        PAGE,
        PAGE,
        None,
    ]


@pytest.mark.parametrize(
    "origin", [OTHER, "null", f"{PAGE}.evil.example", PAGE.upper(), "http://app.example.com"]
)
def test_a_page_that_is_not_listed_is_refused(live: LiveProxy, origin: str) -> None:
    answer = fetch(live, token({"origins": [PAGE]}), origin)
    assert told(answer) == (403, "origin_not_allowed", None)
    assert "access-control-allow-origin" not in answer.headers


def test_both_token_and_project_must_list_the_page(live: LiveProxy) -> None:
    plain = token({"origins": [PAGE, OTHER]}, {"origins": [PAGE]})
    assert fetch(live, plain).status_code == 200
    assert told(fetch(live, plain, OTHER))[1] == "origin_not_allowed"


def test_what_is_no_page_passes_and_upstreams_word_does_not(live: LiveProxy) -> None:
    answer = fetch(live, token({"origins": [PAGE]}), None)
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    _, unruled = issue_token()
    assert fetch(live, unruled).headers["access-control-expose-headers"] == "X-Request-ID"


def test_a_page_in_shadow_mode_passes_and_is_told_nothing(live: LiveProxy) -> None:
    plain = token({"origins": [PAGE], "shadow": ["origins"]})
    assert fetch(live, plain).headers["access-control-allow-origin"] == PAGE
    answer = fetch(live, plain, OTHER)
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


def test_a_preflight_is_answered_without_a_token(live: LiveProxy) -> None:
    token({"origins": [PAGE]})
    answer = eventually(
        lambda: (a := preflight(live, "/v1/chat/completions")).status_code == 204 and a, within_seconds=12
    )
    assert answer.content == b""
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.headers["access-control-allow-methods"] == "GET, POST"
    assert answer.headers["access-control-allow-headers"] == "authorization,content-type,x-stainless-os"
    assert answer.headers["access-control-max-age"] == "600"
    assert "origin" in answer.headers["vary"]
    assert "access-control-allow-credentials" not in answer.headers
    assert preflight(live, "/token").headers["access-control-allow-methods"] == "GET, HEAD"
    assert preflight(live, "/v1/nowhere").status_code == 404
    refused = preflight(live, "/v1/chat/completions", OTHER)
    assert told(refused) == (403, "origin_not_allowed", None)
    assert not [name for name in refused.headers if name.startswith("access-control-")]
    hostile = preflight(live, "/v1/models", **{"access-control-request-headers": "a(b"})
    assert "access-control-allow-headers" not in hostile.headers


def test_origins_of_what_is_dead_are_forgotten_within_two_seconds(live: LiveProxy) -> None:
    project = ProjectFactory.create()
    issued, _ = issue_token(project=project, rules={"origins": ["https://once.example"]})

    def status() -> int:
        return preflight(live, "/v1/models", "https://once.example").status_code

    eventually(lambda: status() == 204, within_seconds=12)
    AccessToken.objects.filter(pk=issued.pk).update(is_active=False, updated_at=timezone.now())
    eventually(lambda: status() == 403, within_seconds=3)
    update_project(project, rules={"origins": ["https://once.example"]}, actor="cli:ada")
    eventually(lambda: status() == 204, within_seconds=3)


def test_a_page_asks_what_its_token_is_good_for(live: LiveProxy) -> None:
    plain = token({"origins": [PAGE]})
    url, headers = f"{live.url}/token", {"authorization": f"Bearer {plain}"}
    answer = httpx.get(url, headers=headers | {"origin": PAGE})
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert told(httpx.get(url, headers=headers | {"origin": OTHER}))[1] == "origin_not_allowed"

"""Running streams of a token that dies: cut within two seconds, with an error that the SDK raises."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import openai
import pytest
from django.utils import timezone
from openai import OpenAI

from llm_proxy_site.processes import manage
from projects import lifecycle as project_lifecycle
from projects.models import Project
from tests.databases import own_database_url
from tests.factories import ProjectFactory, issue_token
from tests.live import LiveProxy, eventually
from tokens import lifecycle
from tokens.models import AccessToken
from usage.models import UsageRecord

MESSAGES = [{"role": "user", "content": "Say something long."}]
A_MINUTE = {"x-fake-chunk-delay-ms": "100", "x-fake-chunks": "600"}
WITHIN_SECONDS = 2.0

Death = Callable[[AccessToken], object]


def by_a_command(token: AccessToken) -> None:
    manage("revoke_token", str(token.id), environment={"DATABASE_URL": own_database_url()})


def by_its_expiry(token: AccessToken) -> None:
    AccessToken.objects.filter(pk=token.pk).update(expires_at=timezone.now(), updated_at=timezone.now())


def by_its_project(token: AccessToken) -> None:
    project = Project.objects.get(pk=token.project_id)
    project_lifecycle.set_project_active(project, False, actor="user:test", now=timezone.now())


def by_its_rotation(token: AccessToken) -> None:
    lifecycle.rotate(token, grace=timedelta(0), actor="user:test", now=timezone.now())


@pytest.mark.parametrize(
    ("death", "code"),
    [
        (by_a_command, "invalid_api_key"),
        (by_its_expiry, "token_expired"),
        (by_its_project, "project_inactive"),
        (by_its_rotation, "invalid_api_key"),
    ],
)
def test_a_stream_of_a_minute_is_cut_when_its_token_dies(live: LiveProxy, death: Death, code: str) -> None:
    token, plain = issue_token()
    marker = f"dying-{token.id}"
    with client(live, plain) as openai_client:
        stream = chat(openai_client, **{"x-marker": marker})
        next(stream)
        death(token)
        died_at = time.monotonic()
        with pytest.raises(openai.APIError) as raised:
            list(stream)

    assert time.monotonic() - died_at < WITHIN_SECONDS
    assert raised.value.code == code
    eventually(lambda: live.upstream_requests(marker)[0]["state"] == "closed_by_client", within_seconds=2)
    record = eventually(lambda: UsageRecord.objects.filter(token_id=token.id).first())
    assert (record.outcome, record.status, record.error_code) == ("cut", 200, code)
    assert record.usage_source == "estimated"
    assert 0 < record.output_tokens < 600


def test_a_stream_ends_at_the_instant_of_its_tokens_expiry(live: LiveProxy) -> None:
    """Nobody tells the proxy: it knows."""
    token, plain = issue_token(expires_at=timezone.now() + timedelta(seconds=3))
    with client(live, plain) as openai_client:
        stream = chat(openai_client)
        with pytest.raises(openai.APIError) as raised:
            list(stream)

    late = (timezone.now() - token.expires_at).total_seconds()
    assert raised.value.code == "token_expired"
    assert 0 <= late < WITHIN_SECONDS


def test_a_stream_is_cut_when_it_uses_up_the_budget(live: LiveProxy) -> None:
    """Upstream does not keep to the maximum that the client has asked for."""
    token, plain = issue_token(total_budget_microusd=700)
    with client(live, plain) as openai_client:
        stream = chat(openai_client, max_tokens=20, **{"x-fake-ignore-limits": "1", "x-fake-chunks": "3000"})
        with pytest.raises(openai.APIError) as raised:
            list(stream)

    assert raised.value.code == "budget_exceeded"
    record = eventually(lambda: UsageRecord.objects.filter(token=token).first())
    assert (record.outcome, record.error_code) == ("cut", "budget_exceeded")
    assert 700 <= record.cost_microusd < 700 + 10 * 10 * WITHIN_SECONDS * 10


def test_a_stream_is_cut_when_its_budget_is_lowered_below_what_is_spent(live: LiveProxy) -> None:
    token, plain = issue_token(total_budget_microusd=10_000_000)
    with client(live, plain) as openai_client:
        openai_client.chat.completions.create(model="gpt-4o", messages=MESSAGES, max_tokens=10)
        stream = chat(openai_client)
        next(stream)
        AccessToken.objects.filter(pk=token.pk).update(total_budget_microusd=1, updated_at=timezone.now())
        lowered_at = time.monotonic()
        with pytest.raises(openai.APIError) as raised:
            list(stream)

    assert time.monotonic() - lowered_at < WITHIN_SECONDS
    assert raised.value.code == "budget_exceeded"


def test_a_project_can_let_running_streams_finish(live: LiveProxy) -> None:
    token, plain = issue_token(project=ProjectFactory.create(death_policy="finish"))
    with client(live, plain) as openai_client:
        stream = chat(openai_client, **{"x-fake-chunk-delay-ms": "100", "x-fake-chunks": "40"})
        next(stream)
        by_a_command(token)
        eventually(lambda: models(live, plain).status_code == 401)
        chunks = list(stream)

    assert chunks[-1].choices[0].finish_reason == "stop"
    record = eventually(lambda: UsageRecord.objects.filter(token=token, endpoint="/chat/completions").first())
    assert record.outcome == "completed"


def test_a_request_that_waits_for_its_answer_is_refused_when_its_token_dies(live: LiveProxy) -> None:
    token, plain = issue_token()
    marker = f"waiting-{token.id}"
    with (
        client(live, plain) as openai_client,
        Later(lambda: live.upstream_requests(marker), by_a_command, token),
        pytest.raises(openai.AuthenticationError) as raised,
    ):
        openai_client.models.list(extra_headers={"x-fake-hang": "1", "x-marker": marker})

    assert raised.value.code == "invalid_api_key"
    eventually(lambda: live.upstream_requests(marker)[0]["state"] == "closed_by_client", within_seconds=2)


def test_a_download_that_is_cut_does_not_look_whole(live: LiveProxy) -> None:
    token, plain = issue_token()
    headers = {"authorization": f"Bearer {plain}", **A_MINUTE, "x-fake-chunks": "300"}
    with httpx.stream("GET", f"{live.base_url}/models", headers=headers) as answer:
        chunks = answer.iter_raw()
        next(chunks)
        by_a_command(token)
        with pytest.raises(httpx.RemoteProtocolError):
            list(chunks)


def test_an_idle_token_dies_and_a_used_one_lives(live: LiveProxy) -> None:
    idle, idle_plain = issue_token(idle_ttl=timedelta(minutes=1))
    used, used_plain = issue_token(idle_ttl=timedelta(minutes=1))
    long_ago = timezone.now() - timedelta(minutes=2)
    AccessToken.objects.filter(pk__in=[idle.pk, used.pk]).update(created_at=long_ago)
    AccessToken.objects.filter(pk=used.pk).update(last_used_at=timezone.now())

    refused = models(live, idle_plain)
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "token_expired")
    assert models(live, used_plain).status_code == 200
    eventually(lambda: UsageRecord.objects.filter(token=idle).exists())
    idle.refresh_from_db()
    assert idle.last_used_at is None  # what is refused is no use


class Later:
    """Does something in a thread of its own, as soon as a condition holds."""

    def __init__(self, condition: Callable[[], object], act: Death, token: AccessToken) -> None:
        self._thread = threading.Thread(target=lambda: (eventually(condition), act(token)))

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join()


def client(live: LiveProxy, plain: str) -> OpenAI:
    return OpenAI(base_url=live.base_url, api_key=plain, max_retries=0, timeout=30)


def chat(openai_client: OpenAI, *, max_tokens: int | None = None, **headers: str) -> Iterator[Any]:
    return iter(
        openai_client.chat.completions.create(
            model="gpt-4o",
            messages=MESSAGES,
            stream=True,
            max_tokens=max_tokens or openai.omit,
            extra_headers=A_MINUTE | headers,
        )
    )


def models(live: LiveProxy, plain: str) -> httpx.Response:
    return httpx.get(f"{live.base_url}/models", headers={"authorization": f"Bearer {plain}"})

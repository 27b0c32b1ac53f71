"""Rotation with grace: the old plain text and the new one both work, and nothing fails on the way."""

import threading
from datetime import datetime, timedelta

import httpx
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from tests.factories import issue_token
from tests.live import LiveProxy, eventually
from tokens import lifecycle
from tokens.models import AccessToken
from usage.models import UsageRecord


def ask(live: LiveProxy, plain: str, path: str = "/v1/models") -> httpx.Response:
    return httpx.get(live.url + path, headers={"authorization": f"Bearer {plain}"})


def told_expiry(answer: httpx.Response) -> datetime | None:
    return parse_datetime(answer.headers["x-llm-proxy-token-expires-at"])


def rotate(token: AccessToken, grace: timedelta) -> str:
    plain: str = lifecycle.rotate(token, grace=grace, actor="user:test", now=timezone.now())
    return plain


class Requests:
    """One request after another, with whatever plain text the client has."""

    def __init__(self, live: LiveProxy, plain: str) -> None:
        self.plain = plain
        self.statuses: list[int] = []
        self._live = live
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Requests":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        with httpx.Client() as client:
            while not self._stopping.is_set():
                headers = {"authorization": f"Bearer {self.plain}"}
                self.statuses.append(client.get(f"{self._live.base_url}/models", headers=headers).status_code)


def test_rotation_under_load_fails_no_request(live: LiveProxy) -> None:
    token, old = issue_token(max_requests=100_000)
    with Requests(live, old) as requests:
        eventually(lambda: len(requests.statuses) > 20, within_seconds=60)
        new = rotate(token, timedelta(minutes=5))
        token.refresh_from_db()
        dies_at = token.previous_digest_dies_at.replace(microsecond=0)
        eventually(lambda: told_expiry(ask(live, old)) == dies_at)  # the proxy knows of the rotation
        before = len(requests.statuses)
        # With the old one, well into the grace.
        eventually(lambda: len(requests.statuses) > before + 100, within_seconds=60)
        requests.plain = new
        before = len(requests.statuses)
        eventually(lambda: len(requests.statuses) > before + 100, within_seconds=60)

    assert set(requests.statuses) == {200}
    rows = UsageRecord.objects.filter(token=token)
    eventually(lambda: rows.count() >= len(requests.statuses), within_seconds=60)
    token.refresh_from_db()
    assert token.request_count == rows.count()  # one token, one counter


def test_the_old_plain_text_dies_with_the_grace(live: LiveProxy) -> None:
    token, old = issue_token()
    assert ask(live, old).status_code == 200
    new = rotate(token, timedelta(seconds=3))
    token.refresh_from_db()
    died_at = token.previous_digest_dies_at
    eventually(lambda: told_expiry(ask(live, old)) == died_at.replace(microsecond=0))
    refused = eventually(lambda: (answer := ask(live, old)).status_code == 401 and answer)
    assert refused.json()["error"]["code"] == "invalid_api_key"
    assert 0 <= (timezone.now() - died_at).total_seconds() < 2
    assert ask(live, new).status_code == 200


def test_without_grace_the_old_plain_text_dies_within_two_seconds(live: LiveProxy) -> None:
    token, old = issue_token()
    assert ask(live, old).status_code == 200
    new = rotate(token, timedelta(0))
    assert ask(live, new).status_code == 200
    eventually(lambda: ask(live, old).status_code == 401, within_seconds=2)


def test_a_reactivated_token_works_again_and_has_lost_no_limit(live: LiveProxy) -> None:
    token, plain = issue_token(max_requests=3)
    assert [ask(live, plain).status_code for _ in range(2)] == [200, 200]
    lifecycle.revoke(token, actor="user:test", now=timezone.now())
    eventually(lambda: ask(live, plain, "/token").status_code == 401, within_seconds=2)
    lifecycle.reactivate(token, actor="user:test", now=timezone.now())

    def heard() -> int:
        """Zero from a worker to which it is revoked still."""
        status = ask(live, plain).status_code
        return 0 if status == 401 else status

    assert [eventually(heard, within_seconds=2) for _ in range(2)] == [200, 429]

"""What a client is told when upstream or the database does not answer."""

import httpx
import pytest
from django.db import connection

from tests.factories import issue_token
from tests.live import LiveProxy, eventually
from usage.models import UsageRecord


@pytest.mark.parametrize("private_live", [{"UPSTREAM_READ_TIMEOUT_SECONDS": "0.3"}], indirect=True)
def test_an_upstream_that_never_answers_is_a_timeout(private_live: LiveProxy) -> None:
    token, plain = issue_token()
    answer = httpx.get(
        f"{private_live.base_url}/models", headers={"authorization": f"Bearer {plain}", "x-fake-hang": "1"}
    )

    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")
    record = eventually(lambda: UsageRecord.objects.filter(token=token).first())
    assert (record.outcome, record.error_code) == ("upstream_failed", "upstream_timeout")


def test_without_the_database_an_unknown_token_is_not_called_invalid(private_live: LiveProxy) -> None:
    _, plain = issue_token()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE tokens_accesstoken RENAME TO away")
        try:
            answer = httpx.get(
                f"{private_live.base_url}/models", headers={"authorization": f"Bearer {plain}"}
            )
        finally:
            cursor.execute("ALTER TABLE away RENAME TO tokens_accesstoken")

    def is_known() -> bool:
        headers = {"authorization": f"Bearer {plain}"}
        return httpx.get(f"{private_live.base_url}/models", headers=headers).status_code == 200

    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "service_unavailable")
    assert answer.headers["retry-after"] == "1"
    eventually(is_known, within_seconds=5)

"""The log's lines of requests: all of those that went otherwise than well, and a share of the others."""

import json
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.factories import ProjectFactory, issue_token
from tests.live import LiveProxy, eventually
from usage.models import UsageRecord
from usage.sampling import is_sampled

REQUESTS = 40


def lines(live: LiveProxy) -> list[dict[str, Any]]:
    events = [json.loads(line) for line in live.log().splitlines() if line.startswith("{")]
    return [event for event in events if event["event"] == "request"]


@pytest.mark.parametrize("private_live", [{"ACCESS_LOG_SAMPLE": "0.3"}], indirect=True)
def test_a_share_of_what_went_well_is_logged_and_all_else(private_live: LiveProxy) -> None:
    live = private_live
    token, plain = issue_token()
    headers = {"authorization": f"Bearer {plain}"}
    with httpx.Client(base_url=live.base_url, headers=headers) as client:
        ids = [
            client.get("/models").headers["x-llm-proxy-request-id"]
            if number % 4
            else client.get("/models", headers={"x-fake-status": "404"}).headers["x-llm-proxy-request-id"]
            for number in range(REQUESTS)
        ]
        refused = client.get("/nowhere").headers["x-llm-proxy-request-id"]
    failed = {*ids[::4], refused}
    well = set(ids) - failed
    expected = failed | {each for each in well if is_sampled(UUID(each), 0.3)}

    assert eventually(lambda: (r := {line["id"] for line in lines(live)}) >= expected and r) == expected
    for line in lines(live):
        assert line.get("sampled") == (0.3 if line["id"] in well else None)
    assert eventually(lambda: UsageRecord.objects.filter(token=token).count() == REQUESTS + 1)


@pytest.mark.parametrize(
    "private_live", [{"ACCESS_LOG_SAMPLE": "0", "ACCESS_LOG_SLOW_SECONDS": "0.5"}], indirect=True
)
def test_what_was_slow_is_logged_though_it_went_well(private_live: LiveProxy) -> None:
    _, plain = issue_token()
    headers = {"authorization": f"Bearer {plain}"}
    headers |= {"x-fake-delay-ms": "700"}
    slow = httpx.get(f"{private_live.base_url}/models", headers=headers)
    (found,) = eventually(lambda: lines(private_live))
    assert found["id"] == slow.headers["x-llm-proxy-request-id"]
    assert "sampled" not in found


@pytest.mark.parametrize("private_live", [{"LOG_LEVEL": "WARNING"}], indirect=True)
def test_a_higher_level_has_no_line_for_a_request(private_live: LiveProxy) -> None:
    token, plain = issue_token()
    httpx.get(f"{private_live.base_url}/models", headers={"authorization": f"Bearer {plain}"})
    assert eventually(lambda: UsageRecord.objects.filter(token=token).exists())
    assert lines(private_live) == []


def test_what_else_is_said_of_a_request_names_it(private_live: LiveProxy) -> None:
    _, plain = issue_token(project=ProjectFactory.create(base_url="http://127.0.0.1:1/v1"))
    headers = {"authorization": f"Bearer {plain}"}
    failed = httpx.get(f"{private_live.base_url}/models", headers=headers)
    eventually(lambda: lines(private_live))
    events = [json.loads(line) for line in private_live.log().splitlines() if line.startswith("{")]
    said = {event["request_id"] for event in events if event["event"] == "upstream failed"}
    assert said == {failed.headers["x-llm-proxy-request-id"]}

"""Circuit breakers and the retry budget: whom an upstream's failure concerns, and for how long."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from statistics import median

import aiohttp
import httpx
import pytest

from projects.models import Project
from tests.e2e.faults.asking import CHAT, ask, closed_port
from tests.factories import ProjectFactory, UpstreamKeyFactory, issue_token
from tests.live import LiveProxy, eventually, serving
from usage.models import UsageRecord

TOUCHY = {
    "UPSTREAM_MAX_RETRIES": "0",
    "BREAKER_MIN_REQUESTS": "5",
    "BREAKER_WINDOW_SECONDS": "60",
    "BREAKER_OPEN_SECONDS": "2",
}
pytestmark = pytest.mark.xdist_group("breakers")  # one process of tests, one server


@pytest.fixture(scope="module")
def _touchy(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveProxy]:
    with serving(tmp_path_factory.mktemp("breakers"), **TOUCHY) as live:
        yield live


@pytest.fixture
def touchy(_touchy: LiveProxy, transactional_db: None) -> LiveProxy:
    """A proxy whose breakers open after 5 failures, each test's by keys of its own."""
    return _touchy


def project_with(key: str, **fields: str) -> Project:
    project = ProjectFactory.create(upstream_key=None, **fields)
    UpstreamKeyFactory.create(project=project, plain=key)
    return project


def fail_until_open(live: LiveProxy, project: Project, **fault: str) -> None:
    for _ in range(5):
        assert ask(live, "post", project, **fault).code != "upstream_unavailable"


def test_one_projects_bad_luck_is_not_anothers(touchy: LiveProxy) -> None:
    bad, good = project_with("sk-bad-key"), project_with("sk-good-key")
    touchy.fault_key("sk-bad-key", status="500")
    fail_until_open(touchy, bad)
    refused, passed = ask(touchy, "post", bad), ask(touchy, "post", good)

    assert (refused.status, refused.code, refused.upstream_requests) == (503, "upstream_unavailable", 0)
    assert 1 <= int(refused.headers["retry-after"]) <= 2
    assert 1000 <= int(refused.headers["retry-after-ms"]) <= 2000
    assert (refused.record.attempts, refused.record.outcome) == (0, "upstream_failed")
    assert not refused.record.is_admitted
    assert passed.status == 200


@pytest.mark.parametrize("status", ["401", "403", "400", "404", "429"])
def test_what_upstream_says_of_the_client_opens_nothing(touchy: LiveProxy, status: str) -> None:
    project = ProjectFactory.create()
    seen = [ask(touchy, "post", project, fake_status=status).status for _ in range(7)]

    assert seen == [int(status)] * 7


def test_hangups_open_nothing(touchy: LiveProxy) -> None:
    project = ProjectFactory.create()
    _, plain = issue_token(project=project)
    headers = {"authorization": f"Bearer {plain}", "x-fake-hang": "1"}
    for _ in range(7):
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{touchy.base_url}/chat/completions", json=CHAT, headers=headers, timeout=0.3)

    assert ask(touchy, "post", project).status == 200


@pytest.mark.parametrize("private_live", [TOUCHY | {"BREAKER_OPEN_SECONDS": "5"}], indirect=True)
def test_50_at_once_send_one_probe_and_its_success_lets_all_through(private_live: LiveProxy) -> None:
    project = project_with("sk-probed-key")
    private_live.fault_key("sk-probed-key", status="503")
    fail_until_open(private_live, project)
    private_live.fault_key("sk-probed-key", delay_ms="8000")
    before = len(private_live.upstream_requests("sk-probed-key"))

    def wave_with_a_probe() -> list[int] | None:
        statuses = asyncio.run(_at_once(private_live, project, 50))
        return statuses if 200 in statuses else None

    statuses = eventually(wave_with_a_probe, within_seconds=60)
    probes = len(private_live.upstream_requests("sk-probed-key")) - before
    private_live.fault_key("sk-probed-key")
    after = asyncio.run(_at_once(private_live, project, 50))

    assert (Counter(statuses), probes) == (Counter({503: 49, 200: 1}), 1)
    assert after == [200] * 50
    states = [line for line in private_live.log().splitlines() if "breaker of an upstream" in line]
    assert [state for line in states for state in ("half-open", '"open"', "closed") if state in line] == [
        '"open"',
        "half-open",
        "closed",
    ]


def test_a_probe_that_its_client_gives_up_leaves_its_place_to_the_next(touchy: LiveProxy) -> None:
    project = project_with("sk-given-up")
    touchy.fault_key("sk-given-up", status="503")
    fail_until_open(touchy, project)
    touchy.fault_key("sk-given-up")
    _, plain = issue_token(project=project)
    headers = {"authorization": f"Bearer {plain}", "x-fake-hang": "1", "x-marker": "given-up"}

    def is_given_up() -> bool:
        try:
            httpx.post(f"{touchy.base_url}/chat/completions", json=CHAT, headers=headers, timeout=0.5)
        except httpx.ReadTimeout:
            return bool(touchy.upstream_requests("given-up"))
        return False

    eventually(is_given_up)
    eventually(lambda: ask(touchy, "post", project).status == 200)


def test_a_dead_upstream_costs_little_while_its_breaker_is_open(touchy: LiveProxy) -> None:
    with closed_port() as base_url:
        dead, other = ProjectFactory.create(base_url=base_url), ProjectFactory.create(base_url=base_url)
        fail_until_open(touchy, dead)
        token, plain = issue_token(project=other)
        with httpx.Client(headers={"authorization": f"Bearer {plain}"}) as client:
            answers = [client.get(f"{touchy.base_url}/models") for _ in range(50)]
    opened = [answer for answer in answers if answer.json()["error"]["code"] == "upstream_unavailable"]
    records = eventually(lambda: (r := list(UsageRecord.objects.filter(token=token))) and len(r) == 50 and r)

    assert len(opened) >= 40  # of which one or another was a probe, on a slow machine
    quick = [record.duration_seconds for record in records if not record.attempts]
    assert min(quick) < 0.002
    assert median(quick) < 0.02  # whatever else runs on this machine


@pytest.mark.parametrize("private_live", [{"BREAKER_FAILURE_PERCENT": "0"}], indirect=True)
def test_an_outage_is_not_multiplied(private_live: LiveProxy) -> None:
    project = project_with("sk-outage-key")
    private_live.fault_key("sk-outage-key", status="503")
    began = time.monotonic()
    statuses = asyncio.run(_at_once(private_live, project, 200))
    floor = 3 + 0.3 * (time.monotonic() - began)

    assert statuses == [503] * 200
    asked = len(private_live.upstream_requests("sk-outage-key"))
    assert 200 < asked <= 200 * 1.1 + floor
    total = eventually(
        lambda: sum(r) if len(r := list(UsageRecord.objects.values_list("attempts", flat=True))) == 200 else 0
    )
    assert total == asked


async def _at_once(live: LiveProxy, project: Project, count: int) -> list[int]:
    _, plain = await asyncio.to_thread(lambda: issue_token(project=project))
    headers = {"authorization": f"Bearer {plain}"}
    async with httpx.AsyncClient(headers=headers, timeout=60) as client:
        answers = [client.post(f"{live.base_url}/chat/completions", json=CHAT) for _ in range(count)]
        return [answer.status_code for answer in await asyncio.gather(*answers)]


async def test_a_websocket_is_refused_too_while_its_breaker_is_open(touchy: LiveProxy) -> None:
    plain = await asyncio.to_thread(_token_of_an_open_breaker, touchy)
    url = f"{touchy.base_url}/realtime?model=gpt-realtime"
    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {plain}"}) as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
            await session.ws_connect(url)

    assert (raised.value.status, raised.value.headers["retry-after"] in ("1", "2")) == (503, True)


def _token_of_an_open_breaker(live: LiveProxy) -> str:
    project = project_with("sk-bad-for-sockets")
    live.fault_key("sk-bad-for-sockets", status="500")
    fail_until_open(live, project)
    _, plain = issue_token(project=project)
    return plain

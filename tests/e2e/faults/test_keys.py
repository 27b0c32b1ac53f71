"""Several upstream keys of one project: which is used, which gives way to which, and for how long."""

import asyncio
from collections.abc import Iterator
from uuid import UUID

import aiohttp
import httpx
import pytest
from uuid_utils.compat import uuid7

from projects.models import Project, UpstreamKey
from tests.e2e.faults.asking import CHAT, ask
from tests.factories import ProjectFactory, UpstreamKeyFactory, issue_token
from tests.live import LiveProxy, eventually, serving
from usage.models import UsageRecord

pytestmark = pytest.mark.xdist_group("keys")  # one process of tests, one server

RESTS = {"KEY_QUOTA_COOLDOWN_SECONDS": "2", "KEY_REFUSED_COOLDOWN_SECONDS": "300"}


@pytest.fixture(scope="module")
def _resting(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveProxy]:
    with serving(tmp_path_factory.mktemp("keys"), **RESTS) as live:
        yield live


@pytest.fixture
def resting(_resting: LiveProxy, transactional_db: None) -> LiveProxy:
    """A proxy whose keys rest for 2 s when their quota is used up, and for long when they are refused."""
    return _resting


class Ring:
    """A project with two keys of its own."""

    def __init__(self, live: LiveProxy, *, first_weight: int = 1000) -> None:
        self._live = live
        self.first, self.second = f"sk-first-{uuid7()}", f"sk-second-{uuid7()}"
        self.project: Project = ProjectFactory.create(upstream_key=None)
        for plain, weight in ((self.first, first_weight), (self.second, 1)):
            UpstreamKeyFactory.create(project=self.project, plain=plain, weight=weight)

    def uses(self) -> tuple[int, int]:
        """How often upstream has seen each."""
        return len(self._live.upstream_requests(self.first)), len(self._live.upstream_requests(self.second))

    def first_row(self) -> UpstreamKey:
        return self.project.upstream_keys.get(weight=1000)


@pytest.mark.parametrize("kind", ["get", "post", "stream"])
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"status": "401"}, "401"),
        ({"status": "403"}, "403"),
        ({"status": "429", "code": "insufficient_quota"}, "429 insufficient_quota"),
    ],
)
def test_a_key_that_is_refused_gives_way_and_rests_and_its_health_is_noted(
    resting: LiveProxy, kind: str, fault: dict[str, str], code: str
) -> None:
    ring = Ring(resting)
    before = ring.first_row()
    resting.fault_key(ring.first, **fault)
    first, second = ask(resting, kind, ring.project), ask(resting, kind, ring.project)

    assert (first.status, first.record.attempts) == (200, 2)
    assert (second.status, second.record.attempts, ring.uses()) == (200, 1, (1, 2))
    health = eventually(lambda: (row := ring.first_row()).last_failed_at and row)
    assert health.last_failure_code == code
    assert health.cooling_until is not None
    assert health.cooling_until > health.last_failed_at
    assert health.updated_at == before.updated_at


def test_a_streamed_upload_cannot_be_sent_again_and_its_key_rests_when_two_tokens_find_it_refused(
    resting: LiveProxy,
) -> None:
    ring = Ring(resting)
    resting.fault_key(ring.first, status="401")
    *refused, fine = [ask(resting, "upload", ring.project) for _ in range(3)]

    assert [(each.status, each.record.attempts) for each in refused] == [(401, 1)] * 2
    assert (fine.status, ring.uses()) == (200, (2, 1))


def test_with_one_key_the_client_sees_upstreams_own_truth(resting: LiveProxy) -> None:
    key = f"sk-revoked-{uuid7()}"
    project = ProjectFactory.create(upstream_key__plain=key)
    seen = [ask(resting, "post", project) for _ in range(3)]

    facts = [(each.status, each.code, each.record.attempts) for each in seen]
    assert facts == [(401, "invalid_api_key", 1)] * 3


def test_when_all_rest_the_one_is_used_that_ends_first_and_what_it_says_passes(resting: LiveProxy) -> None:
    ring = Ring(resting)
    resting.fault_key(ring.first, status="429", code="insufficient_quota", retry_after="200")
    resting.fault_key(ring.second, status="429", code="insufficient_quota", retry_after="100")
    first = ask(resting, "post", ring.project)
    second = ask(resting, "post", ring.project)
    resting.fault_key(ring.second)
    third = ask(resting, "post", ring.project)

    assert (first.status, first.code, first.record.attempts) == (429, "insufficient_quota", 2)
    assert (second.status, second.headers["retry-after"], second.record.attempts) == (429, "100", 1)
    assert (third.status, ring.uses()) == (200, (1, 3))


@pytest.mark.parametrize("status", ["401", "403"])
def test_a_request_that_all_keys_are_refused_for_makes_none_of_them_rest(
    resting: LiveProxy, status: str
) -> None:
    ring = Ring(resting)
    refused = ask(resting, "post", ring.project, fake_status=status)
    uses = ring.uses()
    fine = ask(resting, "post", ring.project)

    assert (refused.status, refused.record.attempts, uses) == (int(status), 2, (1, 1))
    assert (fine.status, fine.record.attempts, ring.uses()) == (200, 1, (2, 1))
    assert eventually(lambda: (row := ring.first_row()).last_failed_at and row).cooling_until is None


def test_of_many_keys_three_are_asked_and_then_for_a_while_one(resting: LiveProxy) -> None:
    ring = Ring(resting)
    for _ in range(8):
        UpstreamKeyFactory.create(project=ring.project, plain=f"sk-more-{uuid7()}")
    token, plain = issue_token(project=ring.project)
    headers = {"authorization": f"Bearer {plain}", "x-fake-status": "403"}
    for _ in range(2):
        httpx.post(f"{resting.base_url}/chat/completions", json=CHAT, headers=headers, timeout=30)
    attempts = eventually(lambda: found if len(found := _attempts_of(token.id)) == 2 else None)

    assert attempts == [1, 3]


def _attempts_of(token_id: UUID) -> list[int]:
    return sorted(UsageRecord.objects.filter(token_id=token_id).values_list("attempts", flat=True))


def test_what_upstream_may_have_worked_on_is_repeated_with_the_same_key(resting: LiveProxy) -> None:
    ring = Ring(resting, first_weight=1)
    seen = ask(resting, "post", ring.project, fake_reset="1", idempotency_key="k")

    assert (seen.status, seen.record.attempts) == (502, 3)
    assert sorted(ring.uses()) == [0, 3]


def test_a_key_is_used_again_when_its_rest_has_ended(resting: LiveProxy) -> None:
    ring = Ring(resting)
    resting.fault_key(ring.first, status="429", code="insufficient_quota")
    ask(resting, "post", ring.project)
    resting.fault_key(ring.first)
    during = ring.uses()

    def is_used_again() -> bool:
        ask(resting, "post", ring.project)
        return ring.uses()[0] > during[0]

    assert during == (1, 1)
    eventually(is_used_again)


def test_a_key_that_goes_bad_under_load_fails_nobody(resting: LiveProxy) -> None:
    ring = Ring(resting, first_weight=1)
    _, plain = issue_token(project=ring.project)
    resting.fault_key(ring.first, status="401")
    statuses = asyncio.run(_at_once(resting, plain, 60))
    uses = ring.uses()
    later = asyncio.run(_at_once(resting, plain, 20))

    assert statuses + later == [200] * 80
    assert uses[0] < 60
    assert ring.uses() == (uses[0], uses[1] + 20)


def test_keys_are_used_as_often_as_their_weights_say(resting: LiveProxy) -> None:
    ring = Ring(resting, first_weight=3)
    _, plain = issue_token(project=ring.project)
    asyncio.run(_at_once(resting, plain, 200))

    assert sum(ring.uses()) == 200
    assert 110 < ring.uses()[0] < 190  # 150, within six standard deviations


async def test_a_websocket_takes_the_next_key_too(resting: LiveProxy) -> None:
    ring, plain, token = await asyncio.to_thread(_ring_with_token, resting)
    url = f"{resting.base_url}/realtime?model=gpt-realtime"
    async with (
        aiohttp.ClientSession(headers={"authorization": f"Bearer {plain}"}) as session,
        session.ws_connect(url) as socket,
    ):
        assert (await socket.receive_json())["type"] == "session.created"
    record = await asyncio.to_thread(
        lambda: eventually(lambda: UsageRecord.objects.filter(token_id=token, method="GET").first())
    )

    assert record.attempts == 2
    assert await asyncio.to_thread(ring.uses) == (1, 1)


def _ring_with_token(live: LiveProxy) -> tuple[Ring, str, UUID]:
    ring = Ring(live)
    live.fault_key(ring.first, status="401")
    token, plain = issue_token(project=ring.project)
    return ring, plain, token.id


async def _at_once(live: LiveProxy, plain: str, count: int) -> list[int]:
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {plain}"}, timeout=60) as client:
        answers = [client.post(f"{live.base_url}/chat/completions", json=CHAT) for _ in range(count)]
        return [answer.status_code for answer in await asyncio.gather(*answers)]

"""Each way in which upstream fails, for each kind of request: what the client sees, how often upstream is
asked, and what the ledger has.
"""

from collections.abc import Iterator

import pytest

from tests.e2e.faults.asking import KINDS, ask, closed_port
from tests.factories import ProjectFactory
from tests.live import LiveProxy, serving

pytestmark = pytest.mark.xdist_group("matrix")  # one process of tests, one server

STALL_SECONDS = 1.5
PATIENT = {
    "UPSTREAM_FIRST_BYTE_TIMEOUT_SECONDS": str(STALL_SECONDS),
    "UPSTREAM_READ_TIMEOUT_SECONDS": str(STALL_SECONDS),
    "UPSTREAM_RETRY_BUDGET_PERCENT": "1000",
    "BREAKER_FAILURE_PERCENT": "0",
}
ALL = tuple(KINDS)
HELD = ("get", "post", "stream")
"""Whose bodies can be sent again."""


@pytest.fixture(scope="module")
def _patient(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveProxy]:
    with serving(tmp_path_factory.mktemp("faults"), **PATIENT) as live:
        yield live


@pytest.fixture
def patient(_patient: LiveProxy, transactional_db: None) -> LiveProxy:
    """A proxy that waits for upstream for a short time, and repeats without a budget or a breaker."""
    return _patient


@pytest.mark.parametrize("kind", ALL)
def test_a_refused_connection_is_tried_three_times(patient: LiveProxy, kind: str) -> None:
    with closed_port() as base_url:
        seen = ask(patient, kind, ProjectFactory.create(base_url=base_url))

    assert (seen.status, seen.code, seen.headers["retry-after"]) == (502, "upstream_unreachable", "1")
    record = seen.record
    assert (record.attempts, record.outcome, record.status) == (3, "upstream_failed", 502)
    assert (record.cost_source, record.cost_microusd) == ("free", 0)


@pytest.mark.parametrize(("kind", "attempts"), [("get", 3), ("post", 1), ("stream", 1), ("upload", 1)])
@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ({"fake_reset": "1"}, 502, "upstream_unreachable"),
        ({"fake_hang": "1"}, 504, "upstream_timeout"),
    ],
)
def test_what_may_have_been_worked_on_is_repeated_only_if_that_does_no_harm(
    patient: LiveProxy, kind: str, attempts: int, fault: dict[str, str], status: int, code: str
) -> None:
    seen = ask(patient, kind, **fault)

    assert (seen.status, seen.code) == (status, code)
    assert (seen.upstream_requests, seen.record.attempts) == (attempts, attempts)
    assert (seen.record.outcome, seen.record.status) == ("upstream_failed", status)
    assert seen.headers["x-llm-proxy-request-id"] == str(seen.record.id)


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        *((kind, {"fake_hang": "headers"}) for kind in ALL),
        *((kind, {"fake_cut_after": "1"}) for kind in ALL),
        ("stream", {"fake_chunk_delay_ms": "20000"}),
        ("stream", {"fake_cut_after": "3"}),
        ("stream", {"fake_end_after": "3"}),
    ],
)
def test_what_breaks_off_after_its_head_is_never_repeated_and_never_looks_whole(
    patient: LiveProxy, kind: str, fault: dict[str, str]
) -> None:
    seen = ask(patient, kind, **fault)

    assert (seen.status, seen.is_broken) == (200, True)
    assert (seen.upstream_requests, seen.record.attempts) == (1, 1)
    assert (seen.record.outcome, seen.record.status) == ("upstream_cut", 200)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize(
    ("fault", "status", "repeated"),
    [
        ({"fake_status": "429", "fake_retry_after": "0"}, 429, HELD),
        ({"fake_status": "429", "fake_retry_after": "60"}, 429, ()),
        ({"fake_status": "429", "fake_code": "insufficient_quota"}, 429, ()),
        ({"fake_status": "429", "fake_code": "insufficient_quota", "fake_encoding": "gzip"}, 429, ()),
        ({"fake_status": "503"}, 503, HELD),
        ({"fake_status": "500"}, 500, ("get",)),
        ({"fake_status": "502"}, 502, ("get",)),
        ({"fake_status": "500", "fake_should_retry": "true"}, 500, HELD),
        ({"fake_status": "503", "fake_should_retry": "false"}, 503, ()),
        ({"fake_status": "400"}, 400, ()),
        ({"fake_status": "401"}, 401, ()),
        ({"fake_status": "403"}, 403, ()),
    ],
)
def test_an_error_of_upstreams_is_repeated_by_what_it_says_and_the_last_one_passes(
    patient: LiveProxy, kind: str, fault: dict[str, str], status: int, repeated: tuple[str, ...]
) -> None:
    seen = ask(patient, kind, **fault, accept_encoding=fault.get("fake_encoding", "identity"))

    attempts = 3 if kind in repeated else 1
    assert (seen.status, seen.is_broken) == (status, False)
    assert seen.headers["x-request-id"].startswith("req_")
    assert seen.headers.get("retry-after") == fault.get("fake_retry_after")
    assert seen.headers.get("x-should-retry") == fault.get("fake_should_retry")
    if "fake_encoding" not in fault:
        assert seen.body.startswith(b'{\n  "error": {')
        assert seen.body.endswith(b"}")
    assert (seen.upstream_requests, seen.record.attempts) == (attempts, attempts)
    assert (seen.record.outcome, seen.record.status) == ("completed", status)
    assert (seen.record.cost_source, seen.record.cost_microusd) == ("free", 0)


@pytest.mark.parametrize("kind", HELD)
def test_an_answer_that_comes_with_the_second_attempt_is_the_only_one_that_the_client_sees(
    patient: LiveProxy, kind: str
) -> None:
    seen = ask(patient, kind, fake_status="503", fake_times="1", fake_seed=f"second-{kind}")

    assert (seen.status, seen.is_broken, seen.upstream_requests) == (200, False, 2)
    assert (seen.record.attempts, seen.record.outcome) == (2, "completed")


def test_a_post_with_an_idempotency_key_is_repeated_after_a_timeout(patient: LiveProxy) -> None:
    seen = ask(patient, "post", idempotency_key="k", fake_hang="1", fake_times="1", fake_seed="idempotent")

    assert (seen.status, seen.upstream_requests, seen.record.attempts) == (200, 2, 2)


def test_for_a_client_that_repeats_the_request_itself_nothing_is_repeated(patient: LiveProxy) -> None:
    first = ask(patient, "post", x_stainless_retry_count="0", fake_status="503")
    second = ask(patient, "post", x_stainless_retry_count="1", fake_status="503")

    assert (first.upstream_requests, second.upstream_requests) == (3, 1)


def test_a_wait_that_upstream_asks_for_is_kept(patient: LiveProxy) -> None:
    seen = ask(patient, "post", fake_status="503", fake_retry_after="1", fake_times="1", fake_seed="waits")

    assert (seen.status, seen.record.attempts) == (200, 2)
    assert seen.record.duration_seconds >= 1


@pytest.mark.parametrize("private_live", [{"UPSTREAM_TOTAL_TIMEOUT_SECONDS": "2"}], indirect=True)
def test_the_total_time_ends_a_request_that_still_waits_and_one_that_is_answered(
    private_live: LiveProxy,
) -> None:
    waiting = ask(private_live, "get", fake_hang="1")
    answered = ask(private_live, "stream", fake_chunk_delay_ms="200", fake_chunks="200")
    short = ask(private_live, "stream")

    assert (waiting.status, waiting.code) == (504, "upstream_timeout")
    assert (waiting.record.outcome, waiting.record.attempts) == ("upstream_failed", 1)
    assert (answered.status, answered.is_broken, answered.record.outcome) == (200, True, "upstream_cut")
    assert short.record.outcome == "completed"

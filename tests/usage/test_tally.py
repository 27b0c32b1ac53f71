from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.factories import AccessTokenFactory, DailySpendFactory, UsageRecordFactory, usage_entry
from tokens.limits.values import NO_LIMITS, Kind, Subject, Tally
from tokens.models import AccessToken
from usage.batches import write_batch
from usage.entry import UsageEntry
from usage.outcomes import CostSource
from usage.tally import load_tally

NOW = datetime(2030, 5, 2, 12, tzinfo=UTC)
"""A Thursday: its week began in April."""
NOW_MS = 1_903_953_600_000

SUBJECTS: list[Callable[[AccessToken], Subject]] = [
    lambda token: Subject(Kind.TOKEN, token.id, NO_LIMITS),
    lambda token: Subject(Kind.PROJECT, token.project_id, NO_LIMITS),
]
of_either = pytest.mark.parametrize("subject_of", SUBJECTS, ids=["token", "project"])


@pytest.fixture
def token(db: None) -> AccessToken:
    AccessTokenFactory.create()
    return AccessTokenFactory.create()


@of_either
def test_subject_that_never_asked_for_anything_has_an_empty_tally(
    token: AccessToken, subject_of: Callable[[AccessToken], Subject]
) -> None:
    assert load_tally(subject_of(token), NOW_MS) == Tally()


@of_either
def test_spend_is_summed_over_the_periods_of_now(
    token: AccessToken, subject_of: Callable[[AccessToken], Subject]
) -> None:
    costs = {
        date(2029, 5, 2): 100_000,
        date(2030, 4, 28): 10_000,  # last Sunday
        date(2030, 4, 29): 1_000,  # this week's Monday
        date(2030, 5, 1): 100,
        date(2030, 5, 2): 10,
        date(2030, 5, 3): 1,  # by a clock that is ahead
    }
    for day, cost in costs.items():
        DailySpendFactory.create(subject=subject_of(token), day=day, cost_microusd=cost, requests=2)
    tally = load_tally(subject_of(token), NOW_MS)
    assert tally.spent == (111_111, 10, 1_111, 111)
    assert tally.requests == 12


def test_projects_tally_is_of_all_its_tokens_and_a_tokens_of_it_alone(token: AccessToken) -> None:
    sibling, stranger = AccessTokenFactory.create(project=token.project), AccessTokenFactory.create()
    write_batch([costing(token, 1), costing(sibling, 20), costing(sibling, 300), costing(stranger, 4_000)])
    of_token, of_project = (load_tally(subject_of(token), NOW_MS) for subject_of in SUBJECTS)
    assert of_token == Tally(1, ((NOW_MS, 1),), (1, 1, 1, 1))
    assert (of_project.requests, of_project.spent) == (3, (321, 321, 321, 321))
    assert sorted(of_project.recent) == [(NOW_MS, 1), (NOW_MS, 20), (NOW_MS, 300)]


def costing(token: AccessToken, cost_microusd: int) -> UsageEntry:
    """A request of NOW, whose every micro-USD bought a model token."""
    return usage_entry(
        token,
        started_at=NOW.timestamp(),
        input_tokens=cost_microusd,
        cost_source=CostSource.PRICE,
        cost_microusd=cost_microusd,
    )


@of_either
def test_last_minutes_admitted_requests_are_recent_the_oldest_first(
    token: AccessToken, subject_of: Callable[[AccessToken], Subject]
) -> None:
    for seconds in (0.001, 59.999, 60, 3600):
        UsageRecordFactory.create(
            token=token, started_at=NOW - timedelta(seconds=seconds), input_tokens=7, output_tokens=30
        )
    UsageRecordFactory.create(token=token, started_at=NOW, is_admitted=False)
    assert load_tally(subject_of(token), NOW_MS).recent == ((NOW_MS - 59_999, 37), (NOW_MS - 1, 37))


@pytest.mark.parametrize(
    ("input_tokens", "output_tokens", "known"), [(None, None, 0), (5, None, 5), (None, 6, 6)]
)
def test_model_tokens_that_are_unknown_count_as_none(
    token: AccessToken, input_tokens: int | None, output_tokens: int | None, known: int
) -> None:
    UsageRecordFactory.create(
        token=token, started_at=NOW, input_tokens=input_tokens, output_tokens=output_tokens
    )
    assert load_tally(SUBJECTS[0](token), NOW_MS).recent == ((NOW_MS, known),)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the plan is SQLite's")
@of_either
def test_tally_is_two_queries_that_read_no_more_than_an_index_points_to(
    token: AccessToken, subject_of: Callable[[AccessToken], Subject]
) -> None:
    with CaptureQueriesContext(connection) as queries:
        load_tally(subject_of(token), NOW_MS)
    plans = [plan_of(query["sql"]) for query in queries]
    assert len(plans) == 2
    assert all(step.startswith("SEARCH") and "USING INDEX" in step for plan in plans for step in plan)


def plan_of(sql: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
        return [row[3] for row in cursor.fetchall()]

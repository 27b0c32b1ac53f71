from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from tests.factories import AccessTokenFactory, ProjectFactory, usage_entry
from tokens.models import AccessToken
from usage import rebuilding, rollups
from usage.batches import write_batch
from usage.entry import Finished, UsageEntry
from usage.marks import PRUNED_BEFORE, UNSUMMED_BEFORE, advance, mark
from usage.models import LatencyRollup, Measure, ModelRollup, Period, TokenRollup, UsageRecord
from usage.outcomes import CostSource, Outcome, UsageSource
from usage.prices import Price, Rates
from usage.rebuilding import days_to_rebuild, rebuild, rebuild_if_unsummed
from usage.rollup_statements import move_rollups
from usage.rollups import Scope, Span
from usage.sums import Moves, Sums

pytestmark = pytest.mark.django_db(transaction=connection.vendor == "mysql")  # what rebuilds has its own

NOW = datetime(2026, 3, 10, 12, 30, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PRICE = Price(Rates.of(text_input=0, text_output=1_000_000))


@pytest.fixture
def token() -> AccessToken:
    return AccessTokenFactory.create()


def at(token: AccessToken, instant: datetime = NOW, **fields: Any) -> UsageEntry:
    values = {
        "started_at": instant.timestamp(),
        "status": 200,
        "model": "gpt-4o",
        "cost_source": CostSource.PRICE,
        "cost_microusd": 5,
        "input_tokens": 3,
        "output_tokens": 2,
        "cached_tokens": 1,
        "duration_seconds": 0.5,
    }
    return usage_entry(token, **(values | fields))


def kept() -> dict[str, set[tuple[Any, ...]]]:
    """All rollups but those that are nothing."""
    found = {
        "models": set(
            ModelRollup.objects.values_list("period", "starts_at", "project_id", "model", *Sums._fields)
        ),
        "tokens": set(
            TokenRollup.objects.values_list("period", "starts_at", "project_id", "token_id", *Sums._fields)
        ),
        "latencies": set(
            LatencyRollup.objects.values_list(
                "period", "starts_at", "project_id", "measure", "bucket", "requests"
            )
        ),
    }
    return {name: {row for row in rows if any(row[4:])} for name, rows in found.items()}


def test_totals_are_the_sums_of_the_rows_by_outcome(token: AccessToken) -> None:
    write_batch(
        [
            at(token),
            at(token, outcome=Outcome.REFUSED, status=429, shadow_refusals="model_not_allowed"),
            at(token, outcome=Outcome.UPSTREAM_CUT),
            at(token, status=500, cost_source=CostSource.UNPRICED, cost_microusd=None, input_tokens=None),
        ]
    )
    assert rollups.totals(Span.last(HOUR, NOW)) == Sums(
        requests=4,
        refused=1,
        upstream_cut=1,
        upstream_errors=1,
        unpriced=1,
        shadow_refusals=1,
        input_tokens=9,
        output_tokens=8,
        cached_tokens=4,
        cost_microusd=15,
    )


@pytest.mark.parametrize(("length", "periods"), [(HOUR, 2), (DAY, 25), (7 * DAY, 7 * 24 + 1), (30 * DAY, 31)])
def test_series_has_a_point_for_each_period_the_empty_ones_too(
    token: AccessToken, length: timedelta, periods: int
) -> None:
    write_batch([at(token), at(token, NOW - length), at(token, NOW - length - DAY)])
    points = rollups.series(Span.last(length, NOW))
    assert len(points) == periods
    assert [point.sums.requests for point in points if point.sums.requests] == [1, 1]
    assert points[-1].starts_at <= NOW
    assert [point.starts_at for point in points] == sorted(point.starts_at for point in points)


def test_totals_can_be_of_a_project_or_a_token(token: AccessToken) -> None:
    sibling, other = AccessTokenFactory.create(project=token.project), AccessTokenFactory.create()
    write_batch([at(token), at(sibling), at(other)])
    span = Span.last(DAY, NOW)
    assert rollups.totals(span).requests == 3
    assert rollups.totals(span, Scope(project_id=token.project_id)).requests == 2
    assert rollups.totals(span, Scope(token_id=token.id)).requests == 1


def test_top_ones_are_in_order_and_no_more_than_asked_for(token: AccessToken) -> None:
    others = [AccessTokenFactory.create() for _ in range(3)]
    write_batch(
        [at(each, cost_microusd=cost, model=f"m{cost}") for cost, each in enumerate([token, *others])]
    )
    span = Span.last(30 * DAY, NOW)
    best = list(reversed(others))[:2]
    assert [each.key for each in rollups.top_projects(span, 2)] == [each.project_id for each in best]
    assert [each.key for each in rollups.top_tokens(span, 2)] == [each.id for each in best]
    assert [(each.key, each.sums.cost_microusd) for each in rollups.top_models(span, 2)] == [
        ("m3", 3),
        ("m2", 2),
    ]
    assert [each.key for each in rollups.top_models(span, 2, scope=Scope(token.project_id))] == ["m0"]


def test_percentiles_are_right_within_a_bucket(token: AccessToken) -> None:
    write_batch(
        [
            at(token, duration_seconds=number / 100, first_byte_seconds=number / 1000)
            for number in range(1, 101)
        ]
    )
    found = rollups.latencies(Span.last(HOUR, NOW))
    assert found.requests == 100
    assert found.seconds[Measure.DURATION][0.5] == pytest.approx(0.5, rel=0.1)
    assert found.seconds[Measure.DURATION][0.95] == pytest.approx(0.95, rel=0.1)
    assert found.seconds[Measure.FIRST_BYTE][0.5] == pytest.approx(0.05, rel=0.1)
    (*_, (starts_at, newest)) = rollups.latency_series(Span.last(HOUR, NOW))
    assert (starts_at, newest) == (NOW.replace(minute=0), found)


def test_refusals_say_nothing_of_latency(token: AccessToken) -> None:
    write_batch([at(token, outcome=Outcome.REFUSED, status=401)])
    found = rollups.latencies(Span.last(HOUR, NOW))
    assert (found.requests, found.seconds[Measure.DURATION][0.5]) == (0, None)


def test_names_of_models_that_clients_make_up_share_a_row(token: AccessToken) -> None:
    write_batch([at(token, model=f"made-up-{number}", status=404) for number in range(50)])
    assert list(ModelRollup.objects.filter(period=Period.HOUR).values_list("model", "requests")) == [("", 50)]


def test_work_that_is_found_finished_later_moves_the_rollups_of_its_beginning(token: AccessToken) -> None:
    began = NOW - 2 * DAY
    write_batch([at(token, began, cost_microusd=900, work_id="resp_1", begins_work=True, output_tokens=None)])
    used = UsageEntry(id=uuid7(), started_at=0, method="", path="", model="gpt-5")
    used.usage_source, used.input_tokens, used.output_tokens = UsageSource.UPSTREAM, 30, 70
    free = {"cost_source": CostSource.FREE, "cost_microusd": 0, "model": "", "input_tokens": None}
    write_batch(
        [at(token, method="GET", work_id="resp_1", finished=Finished(used), **free)],
        find_price=lambda model, tier: PRICE,
    )
    models = ModelRollup.objects.filter(period=Period.DAY, starts_at__lt=began)
    assert set(models.values_list("model", "requests", "output_tokens", "cost_microusd")) == {
        ("gpt-4o", 0, 0, 0),
        ("gpt-5", 1, 70, 70),
    }
    before = kept()
    rebuild()
    assert kept() == before


@pytest.mark.parametrize(
    "ask",
    [
        rollups.totals,
        rollups.series,
        lambda span: rollups.top_projects(span, 5),
        lambda span: rollups.top_tokens(span, 5),
        lambda span: rollups.top_models(span, 5),
        rollups.latencies,
        rollups.latency_series,
    ],
)
def test_each_question_is_one_query(ask: Any) -> None:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        ask(Span.last(7 * DAY, NOW))
    assert len(queries) == 1


@pytest.fixture
def owners(db: None) -> list[AccessToken]:
    """Of two projects, for all examples."""
    projects = [ProjectFactory.create() for _ in range(2)]
    return [AccessTokenFactory.create(project=project) for project in projects for _ in range(2)]


known = st.none() | st.integers(0, 10**6)
facts = st.fixed_dictionaries(
    {
        "whose": st.integers(0, 3),
        "minutes": st.integers(0, 3 * 24 * 60),
        "model": st.sampled_from(["gpt-4o", "gpt-5", "x" * 120, "é\0"]),
        "outcome": st.sampled_from(list(Outcome)),
        "status": st.sampled_from([None, 200, 400, 503]),
        "shadow_refusals": st.sampled_from(["", "model_not_allowed"]),
        "cost_microusd": known,
        "input_tokens": known,
        "output_tokens": known,
        "cached_tokens": known,
        "duration_seconds": st.floats(0, 10_000),
        "first_byte_seconds": st.none() | st.floats(0, 700),
        "work": st.none() | st.integers(0, 5),
        "finishes": st.booleans(),
    }
)


def _entry(tokens: list[AccessToken], fact: dict[str, Any]) -> UsageEntry:
    fields = {
        name: value for name, value in fact.items() if name not in ("whose", "minutes", "work", "finishes")
    }
    fields["cost_source"] = CostSource.UNPRICED if fact["cost_microusd"] is None else CostSource.PRICE
    if fact["work"] is not None:
        fields["work_id"] = f"resp_{fact['work']}"
        fields["begins_work"] = not fact["finishes"]
        if fact["finishes"]:
            used = UsageEntry(id=uuid7(), started_at=0, method="", path="", model=fact["model"])
            used.input_tokens, used.output_tokens = fact["input_tokens"], fact["output_tokens"]
            fields["finished"] = Finished(used)
    return at(tokens[fact["whose"]], NOW - timedelta(minutes=fact["minutes"]), **fields)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(batches=st.lists(st.lists(facts, min_size=1, max_size=12), min_size=1, max_size=5))
def test_rebuilt_rollups_equal_those_that_were_kept(
    owners: list[AccessToken], db: None, batches: list[list[dict[str, Any]]]
) -> None:
    for table in (UsageRecord, ModelRollup, TokenRollup, LatencyRollup):
        table.objects.all().delete()
    for batch in batches:
        write_batch([_entry(owners, fact) for fact in batch], find_price=lambda model, tier: PRICE)
    before = kept()
    assert sum(row[4] for row in before["models"] if row[0] == Period.DAY) == UsageRecord.objects.count()
    rebuild()
    assert kept() == before
    rebuild(NOW - DAY)
    assert kept() == before


def test_days_are_counted_before_they_are_rebuilt(token: AccessToken) -> None:
    assert days_to_rebuild()[1] == 0
    write_batch([at(token), at(token, NOW - 9 * DAY), at(token, NOW - 2 * DAY)])
    today = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
    assert days_to_rebuild() == (today - 9 * DAY, 10)
    assert days_to_rebuild(NOW - 5 * DAY) == (today - 2 * DAY, 3)


def test_rebuilding_mends_what_was_lost_and_what_was_too_much(token: AccessToken) -> None:
    write_batch([at(token), at(token, NOW - DAY)])
    before = kept()
    ModelRollup.objects.filter(starts_at__lt=NOW - DAY).delete()
    TokenRollup.objects.update(requests=77)
    LatencyRollup.objects.create(
        period=Period.HOUR,
        starts_at=NOW.replace(minute=0) - 9 * DAY,
        project_id=token.project_id,
        measure="duration",
        bucket=3,
        requests=4,
    )
    rebuild()
    assert kept() == before


def test_rebuilding_goes_on_after_a_deadlock(token: AccessToken, monkeypatch: pytest.MonkeyPatch) -> None:
    """As MySQL has them for an hour that is being written."""
    write_batch([at(token)])
    before, troubles = kept(), [OperationalError(rebuilding.DEADLOCK, "Deadlock found")] * 2

    def move(moves: Moves) -> None:
        if troubles:
            raise troubles.pop()
        move_rollups(moves)

    monkeypatch.setattr(rebuilding, "move_rollups", move)
    TokenRollup.objects.update(requests=77)
    assert rebuild() == 1
    assert (kept(), troubles) == (before, [])

    troubles.append(OperationalError(2013, "Lost connection"))
    with pytest.raises(OperationalError, match="Lost connection"):
        rebuild()


def test_what_was_pruned_is_not_rebuilt(token: AccessToken) -> None:
    write_batch([at(token, NOW - 9 * DAY), at(token)])
    before = kept()
    UsageRecord.objects.filter(started_at__lt=NOW - 8 * DAY).delete()
    advance(PRUNED_BEFORE, (NOW - 8 * DAY).replace(hour=0, minute=0))
    rebuild()
    assert kept() == before


def test_what_an_older_version_has_written_is_summed_up_once(token: AccessToken) -> None:
    write_batch([at(token)])
    before = kept()
    for table in (ModelRollup, TokenRollup, LatencyRollup):
        table.objects.all().delete()
    assert rebuild_if_unsummed() == 0
    advance(UNSUMMED_BEFORE, NOW)
    assert rebuild_if_unsummed() == 1
    assert (kept(), mark(UNSUMMED_BEFORE)) == (before, None)

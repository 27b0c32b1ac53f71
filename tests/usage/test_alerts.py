from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext
from structlog.testing import capture_logs

from audit.models import AuditEvent
from projects.models import Project
from tests.factories import AccessTokenFactory, DailySpendFactory, ProjectFactory, issue_token, usage_entry
from tokens.models import AccessToken
from usage.batches import write_batch
from usage.entry import UsageEntry
from usage.models import BudgetAlert, UsageRecord
from usage.outcomes import CostSource

THURSDAY = datetime(2030, 5, 2, 12, tzinfo=UTC)

pytestmark = pytest.mark.django_db(transaction=True)


def costing(token: AccessToken, cost_microusd: int, at: datetime = THURSDAY) -> UsageEntry:
    return usage_entry(
        token, started_at=at.timestamp(), cost_source=CostSource.PRICE, cost_microusd=cost_microusd
    )


def spend(token: AccessToken, cost_microusd: int, at: datetime = THURSDAY) -> None:
    write_batch([costing(token, cost_microusd, at)])


def alerts() -> list[tuple[str, str, int]]:
    """Of whom, for which window, at how many percent."""
    events = AuditEvent.objects.filter(action="budget.threshold_reached").order_by("occurred_at", "id")
    return [(event.subject_id, event.details["window"], event.details["percent"]) for event in events]


def of(subject: AccessToken | Project, window: str, *percents: int) -> list[tuple[str, str, int]]:
    return [(str(subject.id), window, percent) for percent in percents]


def test_threshold_is_told_when_it_is_reached_and_not_before() -> None:
    token = AccessTokenFactory.create(total_budget_microusd=1000)
    spend(token, 799)
    assert alerts() == []
    spend(token, 1)
    assert alerts() == of(token, "total", 80)
    spend(token, 199)
    assert alerts() == of(token, "total", 80)
    spend(token, 1)
    assert alerts() == of(token, "total", 80, 100)
    spend(token, 5000)
    assert alerts() == of(token, "total", 80, 100)


def test_batch_that_passes_both_thresholds_tells_both() -> None:
    token = AccessTokenFactory.create(daily_budget_microusd=100)
    write_batch([costing(token, 60), costing(token, 60)])
    assert alerts() == of(token, "daily", 80, 100)


def test_event_says_whose_budget_it_is_and_how_it_stands() -> None:
    token = AccessTokenFactory.create(name="laptop", weekly_budget_microusd=5_000_000)
    spend(token, 4_100_000)
    facts = AuditEvent.objects.filter(action="budget.threshold_reached").values().get()
    assert facts["actor"] == "system"
    assert (facts["subject_type"], facts["subject_name"]) == ("accesstoken", "laptop")
    assert facts["project_id"] == token.project_id
    assert facts["details"] == {
        "window": "weekly",
        "percent": 80,
        "budget_usd": "5.00",
        "spent_usd": "4.10",
        "period": "2030-04-29",
    }


def test_projects_event_is_its_own() -> None:
    project = ProjectFactory.create(name="web", total_budget_microusd=10)
    spend(AccessTokenFactory.create(project=project), 8)
    event = AuditEvent.objects.get(action="budget.threshold_reached")
    assert (event.subject_type, event.subject_name, event.project_id) == ("project", "web", project.id)
    assert event.details["period"] == "1970-01-01"


def test_operator_sees_it_in_the_log_and_no_secret() -> None:
    token, plain = issue_token(total_budget_microusd=1_000_000)
    with capture_logs() as logs:
        spend(token, 900_000)
    assert logs == [
        {
            "event": "a budget has reached a threshold",
            "log_level": "warning",
            "subject_type": "accesstoken",
            "subject_id": str(token.id),
            "subject_name": str(token),
            "window": "total",
            "percent": 80,
            "budget_usd": "1.00",
            "spent_usd": "0.90",
            "period": "1970-01-01",
        }
    ]
    assert plain not in str(logs)


def test_projects_budget_is_reached_by_its_tokens_together() -> None:
    project = ProjectFactory.create(monthly_budget_microusd=100)
    first, second = (AccessTokenFactory.create(project=project) for _ in range(2))
    write_batch([costing(first, 40), costing(second, 39)])
    assert alerts() == []
    spend(second, 1)
    assert alerts() == of(project, "monthly", 80)


def test_every_window_counts_its_own_period() -> None:
    token = AccessTokenFactory.create(
        total_budget_microusd=100_000,
        daily_budget_microusd=100,
        weekly_budget_microusd=1_000,
        monthly_budget_microusd=10_000,
    )
    for day, cost in (("2030-04-30", 900), ("2030-05-01", 9_000), ("2029-05-02", 90_000)):
        DailySpendFactory.create(subject=token, day=day, cost_microusd=cost)
    spend(token, 79)
    expected = of(token, "total", 80) + of(token, "weekly", 80, 100) + of(token, "monthly", 80)
    assert alerts() == expected


def test_next_period_tells_again() -> None:
    token = AccessTokenFactory.create(daily_budget_microusd=100)
    spend(token, 80)
    spend(token, 80, datetime(2030, 5, 3, tzinfo=UTC))
    assert alerts() == of(token, "daily", 80) * 2
    assert {str(alert.period) for alert in BudgetAlert.objects.all()} == {"2030-05-02", "2030-05-03"}


def test_request_of_yesterday_that_ends_today_is_yesterdays_spend() -> None:
    token = AccessTokenFactory.create(daily_budget_microusd=100)
    midnight = datetime(2030, 5, 3, tzinfo=UTC)
    spend(token, 70, midnight)
    write_batch([costing(token, 85), costing(token, 5, midnight)])
    assert alerts() == of(token, "daily", 80)
    assert str(BudgetAlert.objects.get().period) == "2030-05-02"


def test_raised_budget_tells_anew() -> None:
    token = AccessTokenFactory.create(total_budget_microusd=100)
    spend(token, 100)
    AccessToken.objects.update(total_budget_microusd=200)
    spend(token, 59)
    assert alerts() == of(token, "total", 80, 100)
    spend(token, 1)
    assert alerts() == of(token, "total", 80, 100, 80)


def test_budget_that_is_set_below_what_is_spent_tells_with_the_next_cost() -> None:
    token = AccessTokenFactory.create()
    spend(token, 500)
    AccessToken.objects.update(total_budget_microusd=100)
    write_batch([usage_entry(token)])
    assert alerts() == []
    spend(token, 1)
    assert alerts() == of(token, "total", 80, 100)


def test_subject_that_spent_nothing_is_not_looked_at() -> None:
    idle = AccessTokenFactory.create(total_budget_microusd=1)
    DailySpendFactory.create(subject=idle, day="2030-05-01", cost_microusd=5)
    write_batch([costing(AccessTokenFactory.create(), 5), usage_entry(idle)])
    assert alerts() == []


def test_alert_falls_with_its_batch() -> None:
    token = AccessTokenFactory.create(total_budget_microusd=100)
    with capture_logs() as logs, transaction.atomic():
        spend(token, 100)
        transaction.set_rollback(True)
    assert logs == []
    assert alerts() == []
    spend(token, 80)
    assert alerts() == of(token, "total", 80)


def test_nothing_is_written_when_the_audit_trail_is_away() -> None:
    token = AccessTokenFactory.create(total_budget_microusd=100)
    table = AuditEvent._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO away")
        try:
            with capture_logs() as logs, pytest.raises(DatabaseError):
                spend(token, 100)
        finally:
            cursor.execute(f"ALTER TABLE away RENAME TO {table}")
    assert logs == []
    assert UsageRecord.objects.count() == BudgetAlert.objects.count() == 0


def test_requests_without_cost_ask_nothing_about_budgets() -> None:
    token = AccessTokenFactory.create(total_budget_microusd=100)
    assert selects([usage_entry(token)]) == []


def test_subjects_without_budgets_cost_one_query_for_tokens_and_one_for_projects() -> None:
    asked = selects([costing(AccessTokenFactory.create(), 5) for _ in range(5)])
    names = [sql.replace("`", '"') for sql in asked]
    assert [table for sql in names for table in ("accesstoken", "project") if f'_{table}".' in sql] == [
        "project",
        "accesstoken",
    ]


def selects(batch: list[UsageEntry]) -> list[Any]:
    with CaptureQueriesContext(connection) as queries:
        write_batch(batch)
    return [query["sql"] for query in queries if query["sql"].startswith("SELECT")]

"""Two writers of the ledger whose transactions overlap, on the PostgreSQL database that DATABASE_URL names.

`python -m tests.usage.overlap` prints what came of it, as JSON. It is a process of its own because the tests'
own database is SQLite, where transactions that write do not overlap.
"""

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

import django
from django.db import connection, transaction
from django.utils import timezone

import tests.environment  # noqa: F401  (secrets and a data directory, before Django reads its settings)
from tests.live import eventually

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llm_proxy_site.settings")
django.setup()

from audit.models import AuditEvent  # noqa: E402
from tests.factories import AccessTokenFactory, ProjectFactory, usage_entry  # noqa: E402
from tokens.loader import keep_alive  # noqa: E402
from tokens.models import AccessToken  # noqa: E402
from usage.batches import write_batch  # noqa: E402
from usage.entry import UsageEntry  # noqa: E402
from usage.models import DailySpend, ModelRollup, Period  # noqa: E402
from usage.outcomes import CostSource  # noqa: E402
from usage.rebuilding import rebuild  # noqa: E402


def begin_a_day() -> dict[str, int]:
    """Of a project without a budget, by two of its tokens: there is no row that both have to wait for."""
    project = ProjectFactory.create()
    first, second = (AccessTokenFactory.create(project=project) for _ in range(2))
    _write_overlapping([_costing(first, 3)], [_costing(second, 4)])
    return DailySpend.objects.values("requests", "cost_microusd").get(subject_id=project.id)


def reach_a_budget() -> list[int]:
    """Of a project, by two of its tokens on two days: neither reaches it alone, and no day is of both."""
    project = ProjectFactory.create(total_budget_microusd=100)
    first, second = (AccessTokenFactory.create(project=project) for _ in range(2))
    _write_overlapping([_costing(first, 50)], [_costing(second, 50, started_at=0.0)])
    events = AuditEvent.objects.filter(action="budget.threshold_reached", subject_id=str(project.id))
    return sorted(event.details["percent"] for event in events)


def move_rollups() -> dict[str, int]:
    """Of a project, by two of its tokens that use the same models in different orders; then all made anew
    while a third is being written.
    """
    project = ProjectFactory.create()
    first, second = (AccessTokenFactory.create(project=project) for _ in range(2))
    models = ["a-model", "another-model"]
    _write_overlapping(
        [_costing(first, 3, status=200, model=model) for model in models],
        [_costing(second, 4, status=200, model=model) for model in reversed(models)],
    )
    with ThreadPoolExecutor(1) as other:
        with transaction.atomic():
            write_batch([_costing(first, 5, status=200, model=models[0])])
            rebuilding = other.submit(_closing, rebuild)
            eventually(lambda: rebuilding.done() or _is_waited_for())
        rebuilding.result()
    rows = ModelRollup.objects.filter(period=Period.HOUR, project_id=project.id)
    return {row.model: row.cost_microusd for row in rows}


def use_tokens() -> bool:
    """Two that are written in the order of their ids while both are kept alive. Their rows lie in another
    order: the one that comes first has moved to the end of its table. Whether both were noted.
    """
    first, second = sorted((AccessTokenFactory.create() for _ in range(2)), key=lambda token: token.id)
    AccessToken.objects.filter(pk=first.pk).update(name="moved")
    now = timezone.now() + timedelta(hours=1)
    with ThreadPoolExecutor(1) as other:
        with transaction.atomic():
            write_batch([_costing(first, 1)])
            noting = other.submit(_closing, partial(keep_alive, [first.id, second.id], now))
            eventually(lambda: noting.done() or _is_waited_for())
            write_batch([_costing(second, 1)])
        noting.result()
    return AccessToken.objects.filter(pk__in=[first.id, second.id], last_used_at=now).count() == 2


def _costing(token: AccessToken, cost_microusd: int, **fields: Any) -> UsageEntry:
    return usage_entry(token, cost_source=CostSource.PRICE, cost_microusd=cost_microusd, **fields)


def _write_overlapping(first: list[UsageEntry], second: list[UsageEntry]) -> None:
    """The second is written before the first is committed, or as far as it gets."""
    with ThreadPoolExecutor(1) as other:
        with transaction.atomic():
            write_batch(first)
            writing = other.submit(_closing, partial(write_batch, second))
            eventually(lambda: writing.done() or _is_waited_for())
        writing.result()


def _closing(act: Callable[[], object]) -> None:
    try:
        act()
    finally:
        connection.close()


def _is_waited_for() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"
        )
        return bool(cursor.fetchone()[0])


if __name__ == "__main__":
    print(  # noqa: T201
        json.dumps(
            {
                "day": begin_a_day(),
                "percents": reach_a_budget(),
                "rollups": move_rollups(),
                "used": use_tokens(),
            }
        )
    )

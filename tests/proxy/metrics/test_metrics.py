"""/metrics of one process, as a whole."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async

from proxy.metrics.catalogue import USAGE
from proxy.metrics.metrics import Metrics
from proxy.metrics.state import WorkerState
from tests.factories import ProjectFactory
from tests.metrics import samples_of
from tests.proxy.metrics.test_counts import FAMILIES, PRICES, ended


@pytest.fixture
def metrics(monkeypatch: pytest.MonkeyPatch) -> Metrics:
    """Of a process of which nothing is known but what it counts."""

    async def in_spare_thread(function: Callable[..., Any], *arguments: Any) -> Any:
        return await sync_to_async(function)(*arguments)

    monkeypatch.setattr(WorkerState, "refresh", lambda state, runtime: None)
    runtime: Any = SimpleNamespace(
        providers=SimpleNamespace(family_of=FAMILIES.__getitem__),
        prices=PRICES,
        reach=SimpleNamespace(is_away=False),
        database=SimpleNamespace(in_spare_thread=in_spare_thread),
    )
    return Metrics(runtime)


@pytest.mark.django_db(transaction=True)
def test_more_projects_than_have_a_place_are_told_together(metrics: Metrics) -> None:
    known = ProjectFactory.create(name="known")
    metrics.count(ended(project_id=known.id, cost_microusd=1_000_000))
    for _ in range(USAGE.most):
        metrics.count(ended(project_id=uuid4(), cost_microusd=1_000_000))
    costs = samples_of(asyncio.run(metrics.text()).decode())["llm_proxy_cost_usd_total"]
    assert costs["gpt-4o", "known"] == 1
    assert costs["other", "other"] > 1
    assert sum(costs.values()) == USAGE.most + 1


@pytest.mark.django_db(transaction=True)
def test_without_the_database_names_stay_and_numbers_of_the_past_do_not(metrics: Metrics) -> None:
    """Prometheus asks one worker, then another. A lower number of theirs would fire an alert."""
    known = ProjectFactory.create(name="known")
    metrics.count(ended(project_id=known.id, cost_microusd=1_000_000))
    before = samples_of(asyncio.run(metrics.text()).decode())
    metrics._runtime.reach = SimpleNamespace(is_away=True)  # type: ignore[assignment]
    during = samples_of(asyncio.run(metrics.text()).decode())
    assert before["llm_proxy_budget_thresholds_total"] == {("80",): 0, ("100",): 0}
    assert "llm_proxy_budget_thresholds_total" not in during
    assert before["llm_proxy_cost_usd_total"] == during["llm_proxy_cost_usd_total"]

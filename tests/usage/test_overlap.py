"""Writers whose transactions overlap. On SQLite they do not."""

import json
from pathlib import Path
from typing import Any

import pytest

from llm_proxy_site.processes import manage, running

pytestmark = pytest.mark.postgres


@pytest.fixture
def outcome(postgres_url: str, tmp_path: Path) -> dict[str, Any]:
    environment = {"DATABASE_URL": postgres_url, "DATA_DIR": str(tmp_path)}
    manage("migrate", environment=environment)
    with running("-m", "tests.usage.overlap", environment=environment) as (_, line):
        found: dict[str, Any] = json.loads(line)
    return found


def test_day_that_two_writers_begin_at_once_has_the_sums_of_both(outcome: dict[str, Any]) -> None:
    assert outcome["day"] == {"requests": 2, "cost_microusd": 7}


def test_budget_that_two_writers_reach_together_is_told(outcome: dict[str, Any]) -> None:
    assert outcome["percents"] == [80, 100]


def test_rollups_that_two_writers_move_at_once_have_the_sums_of_both_however_they_are_made(
    outcome: dict[str, Any],
) -> None:
    assert outcome["rollups"] == {"a-model": 3 + 4 + 5, "another-model": 3 + 4}

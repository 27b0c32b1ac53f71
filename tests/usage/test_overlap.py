"""Writers whose transactions overlap. On SQLite they do not."""

import json
from typing import Any

import pytest

from llm_proxy_site.processes import running
from tests.installations import Install, Installation

pytestmark = [pytest.mark.postgres, pytest.mark.xdist_group("overlap")]


def outcome_of(module: str, installation: Installation) -> dict[str, Any]:
    """What a module prints that is run on a new database."""
    with running("-m", module, environment=installation) as (_, line):
        found: dict[str, Any] = json.loads(line)
    return found


@pytest.fixture(scope="module")
def outcome(_install_on_postgres: Install, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with _install_on_postgres(tmp_path_factory.mktemp("overlap")) as installation:
        return outcome_of("tests.usage.overlap", installation)


def test_day_that_two_writers_begin_at_once_has_the_sums_of_both(outcome: dict[str, Any]) -> None:
    assert outcome["day"] == {"requests": 2, "cost_microusd": 7}


def test_budget_that_two_writers_reach_together_is_told(outcome: dict[str, Any]) -> None:
    assert outcome["percents"] == [80, 100]


def test_rollups_that_two_writers_move_at_once_have_the_sums_of_both_however_they_are_made(
    outcome: dict[str, Any],
) -> None:
    assert outcome["rollups"] == {"a-model": 3 + 4 + 5, "another-model": 3 + 4}


def test_tokens_that_are_written_and_kept_alive_at_once_do_not_lock_each_other_out(
    outcome: dict[str, Any],
) -> None:
    assert outcome["used"]

"""A database in trouble loses no usage, even where there is no spool."""

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
    with running("-m", "tests.usage.trouble", environment=environment) as (_, line):
        found: dict[str, Any] = json.loads(line)
    return found


def test_a_ledger_tries_again_whose_database_refuses_to_write_or_whose_connection_is_dead_at_its_end(
    outcome: dict[str, Any],
) -> None:
    assert outcome == {"dead": {"lost": 0, "written": 2}, "read_only": {"lost": 0, "written": 1}}

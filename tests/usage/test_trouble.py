"""A database in trouble loses no usage, even where there is no spool."""

import pytest

from tests.installations import Installation
from tests.usage.test_overlap import outcome_of


@pytest.mark.postgres
def test_a_ledger_tries_again_whose_database_refuses_to_write_or_whose_connection_is_dead_at_its_end(
    postgres_installation: Installation,
) -> None:
    outcome = outcome_of("tests.usage.trouble", postgres_installation)
    assert outcome == {"dead": {"lost": 0, "written": 2}, "read_only": {"lost": 0, "written": 1}}

"""Who counts limits in its memory is told when another does so on the same database."""

from pathlib import Path

import pytest

from tests.live import proxy_before

UPSTREAM = "http://127.0.0.1:9/v1"


@pytest.mark.usefixtures("transactional_db")
def test_a_second_server_that_counts_for_itself_is_told(django_db_setup: None, tmp_path: Path) -> None:
    with (
        proxy_before(UPSTREAM, tmp_path / "first.log", REDIS_URL=""),
        proxy_before(UPSTREAM, tmp_path / "second.log", REDIS_URL="") as second,
    ):
        assert "Set REDIS_URL for both" in second.log()


@pytest.mark.usefixtures("transactional_db")
@pytest.mark.redis
def test_servers_that_count_together_are_not(django_db_setup: None, tmp_path: Path, redis_url: str) -> None:
    with (
        proxy_before(UPSTREAM, tmp_path / "first.log", REDIS_URL=redis_url),
        proxy_before(UPSTREAM, tmp_path / "second.log", REDIS_URL=redis_url) as second,
    ):
        assert "REDIS_URL" not in second.log()

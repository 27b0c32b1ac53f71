"""A backup that is made while requests are recorded is of one instant: restored, it adds up."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import httpx
import pytest
from django.db import connection

from llm_proxy_site.processes import manage
from tests.databases import own_database_url
from tests.factories import issue_token
from tests.live import eventually, serving
from tokens.models import AccessToken

ADDS_UP = """
import json
from django.db.models import Sum
from tokens.models import AccessToken
from usage.models import DailySpend, LatencyRollup, ModelRollup, TokenRollup, UsageRecord

token = AccessToken.objects.get(pk="%s")
hours = {"period": "hour"}
print(json.dumps([
    token.request_count,
    UsageRecord.objects.filter(token=token, is_admitted=True).count(),
    DailySpend.objects.filter(subject_id=token.id).aggregate(sum=Sum("requests"))["sum"],
    TokenRollup.objects.filter(token_id=token.id, **hours).aggregate(sum=Sum("requests"))["sum"],
    ModelRollup.objects.filter(project_id=token.project_id, **hours).aggregate(sum=Sum("requests"))["sum"],
    LatencyRollup.objects.filter(
        project_id=token.project_id, measure="duration", **hours
    ).aggregate(sum=Sum("requests"))["sum"],
]))
"""


@pytest.fixture
def token(django_db_setup: None, transactional_db: None) -> tuple[AccessToken, str]:
    return issue_token()


@pytest.mark.skipif(connection.vendor != "sqlite", reason="it is restored to SQLite, as which it was made")
def test_backup_under_load_restores_to_a_database_that_adds_up(
    token: tuple[AccessToken, str], tmp_path: Path
) -> None:
    row, plain = token
    over = Event()
    database = {"DATABASE_URL": own_database_url()}

    def ask(url: str) -> list[int]:
        statuses = []
        with httpx.Client(timeout=60, headers={"authorization": f"Bearer {plain}"}) as client:
            while not over.is_set():
                statuses.append(client.get(f"{url}/models").status_code)
        return statuses

    with serving(tmp_path) as live, ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(ask, live.base_url) for _ in range(3)]
        try:
            eventually(lambda: AccessToken.objects.get(pk=row.pk).request_count > 5, within_seconds=60)
            made = manage("backup_db", str(tmp_path / "backups"), "--json", environment=database)
        finally:
            over.set()
        statuses = [status for each in asking for status in each.result()]

    (tmp_path / "other").mkdir()
    other = {
        "DATA_DIR": str(tmp_path / "other"),
        "DATABASE_URL": f"sqlite:///{tmp_path / 'other' / 'restored.db'}",
    }
    manage("restore_db", json.loads(made)["file"], environment=other)
    counts = json.loads(manage("shell", "--no-imports", "-c", ADDS_UP % row.pk, environment=other))

    assert set(statuses) == {200}
    assert 5 < counts[0] <= len(statuses)
    assert counts == [counts[0]] * 6

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest
from cryptography.fernet import Fernet
from django.core.management.base import CommandError

from audit.models import AuditEvent
from llm_proxy_site.processes import manage
from projects import rotation
from projects.models import UpstreamKey
from tests.commands import run, run_json
from tests.databases import own_database_url
from tests.factories import UPSTREAM_KEY, ProjectFactory, UpstreamKeyFactory, issue_token
from tests.live import serving

OLD, NEW, UNKNOWN = (Fernet.generate_key().decode() for _ in range(3))


@pytest.fixture
def keys(db: None, settings: Any) -> list[UpstreamKey]:
    """Under the old key, with the new one put in front."""
    settings.ENCRYPTION_KEYS = [OLD]
    made = [UpstreamKeyFactory.create() for _ in range(3)]
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    return made


def test_upstream_keys_are_encrypted_anew_and_stay_what_they_are(
    keys: list[UpstreamKey], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "BATCH_ROWS", 2)
    assert run_json("rotate_encryption_keys") == {"rotated": 3, "secrets": [3, 0], "unreadable": 0}
    assert run_json("rotate_encryption_keys")["rotated"] == 0
    settings.ENCRYPTION_KEYS = [NEW]
    assert [key.reveal() for key in UpstreamKey.objects.all()] == [UPSTREAM_KEY] * 3
    assert AuditEvent.objects.filter(action="upstream_key.reencrypted").count() == 3


def test_no_grant_is_dropped_by_it(keys: list[UpstreamKey]) -> None:
    before = set(UpstreamKey.objects.values_list("pk", "updated_at"))
    run("rotate_encryption_keys")
    assert set(UpstreamKey.objects.values_list("pk", "updated_at")) == before


def test_check_tells_which_key_is_still_needed(keys: list[UpstreamKey]) -> None:
    assert "Key 2 of ENCRYPTION_KEYS: 3 secrets; still needed." in run("rotate_encryption_keys", "--check")
    run("rotate_encryption_keys")
    assert "Key 2 of ENCRYPTION_KEYS: 0 secrets; no longer needed." in run(
        "rotate_encryption_keys", "--check"
    )


def test_what_nothing_decrypts_is_told_and_holds_up_no_other(keys: list[UpstreamKey], settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [UNKNOWN]
    UpstreamKeyFactory.create()
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    with pytest.raises(CommandError, match="decrypts 1 secret"):
        run("rotate_encryption_keys")
    assert sorted(rotation.count_by_key().items(), key=str) == [(0, 3), (None, 1)]


def test_key_that_is_replaced_meanwhile_is_left_alone(keys: list[UpstreamKey]) -> None:
    stale = UpstreamKey.objects.get(pk=keys[0].pk)
    keys[0].conceal("sk-upstream-the-new-one")
    keys[0].save()
    assert not rotation._rotate(stale, "cli:test")
    assert UpstreamKey.objects.get(pk=keys[0].pk).reveal() == "sk-upstream-the-new-one"


def test_rotation_under_load_fails_no_request(
    django_db_setup: None, transactional_db: None, tmp_path: Path, settings: Any
) -> None:

    settings.ENCRYPTION_KEYS = [OLD]
    tokens = [issue_token(project=ProjectFactory.create())[1] for _ in range(40)]
    both = {"ENCRYPTION_KEYS": f"{NEW},{OLD}", "DIRECTORY_MAX_TOKENS": "5"}
    over = Event()
    with serving(tmp_path, **both) as live, ThreadPoolExecutor(4) as pool:

        def ask(worker: int) -> list[int]:
            statuses: list[int] = []
            with httpx.Client(timeout=30) as client:
                while not over.is_set() or len(statuses) < 40:
                    plain = tokens[(worker * 10 + len(statuses)) % len(tokens)]
                    answer = client.get(
                        f"{live.base_url}/models", headers={"authorization": f"Bearer {plain}"}
                    )
                    statuses.append(answer.status_code)
            return statuses

        asking = [pool.submit(ask, worker) for worker in range(4)]
        database = {"DATABASE_URL": own_database_url()}
        try:
            facts = json.loads(manage("rotate_encryption_keys", "--json", environment={**both, **database}))
        finally:
            over.set()
        statuses = [status for each in asking for status in each.result()]
    assert facts == {"rotated": 40, "secrets": [40, 0], "unreadable": 0}
    assert set(statuses) == {200}

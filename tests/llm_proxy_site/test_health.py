import json
from types import SimpleNamespace

import pytest
from django.db import connection
from django.test import Client
from pytest_django.fixtures import Settings
from redis import ReadOnlyError, Redis

from llm_proxy_site import health, schema
from llm_proxy_site.server import lifecycle
from llm_proxy_site.version import __version__
from tokens.reach import SILENT_SECONDS, Reach


@pytest.mark.django_db
def test_a_sound_process_is_ready(client: Client) -> None:
    answer = client.get("/ready")

    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "checks": {"database": "ok", "migrations": "ok", "serving": "ok"},
    }
    assert answer["Cache-Control"] == "no-store"


@pytest.mark.django_db
def test_missing_migrations_are_named(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "_seen", set())
    with connection.cursor() as cursor:
        cursor.execute("SELECT MAX(name) FROM django_migrations WHERE app = 'usage'")
        cursor.execute("DELETE FROM django_migrations WHERE app = 'usage' AND name = %s", cursor.fetchone())
    answer = client.get("/ready")

    assert answer.status_code == 503
    assert answer.json()["checks"]["migrations"] == "1 not applied"
    assert client.get("/health").status_code == 200


@pytest.mark.django_db
def test_a_draining_process_is_not_ready(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "_draining", False)
    lifecycle.begin_draining()
    answer = client.get("/ready")

    assert answer.status_code == 503
    assert answer.json()["checks"]["serving"] == "draining"


def test_a_database_that_is_away_is_named_and_the_process_lives(client: Client, tmp_path: object) -> None:
    from django.db import connections

    name = connections["default"].settings_dict["NAME"]
    connections["default"].close()
    connections["default"].settings_dict["NAME"] = "/nowhere/at/all.db"
    try:
        assert json.loads(client.get("/live").content) == {"status": "ok"}
    finally:
        connections["default"].settings_dict["NAME"] = name


@pytest.mark.django_db
def test_a_database_that_a_probe_has_reached_is_believed_for_the_grace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reach = Reach(grace_seconds=60)
    monkeypatch.setattr(health, "_runtime", lambda: SimpleNamespace(reach=reach))
    assert not reach.is_in_grace
    assert health._database() == "ok"
    assert reach.is_in_grace


def test_no_probe_waits_for_a_database_that_has_just_answered_or_is_awaited_in_vain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is not asked here: this test may not."""
    now = 0.0
    reach = Reach(grace_seconds=60, clock=lambda: now)
    monkeypatch.setattr(health, "_runtime", lambda: SimpleNamespace(reach=reach))
    reach.answered()
    now = SILENT_SECONDS + 1
    with reach.awaiting():
        assert health._database() == "ok"
        now += SILENT_SECONDS + 0.1
        assert health._database() == health.IN_GRACE
        now = 61
        assert health._database() == "unreachable"


@pytest.mark.django_db
@pytest.mark.redis
def test_a_redis_that_answers_is_ok(client: Client, settings: Settings, redis_url: str) -> None:
    settings.REDIS_URL = redis_url

    assert client.get("/ready").json()["checks"]["redis"] == "ok"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("without_redis", "status", "said"),
    [
        ("refuse", "degraded", "unreachable, limited tokens are refused"),
        ("local", "ok", "unreachable, limits are local"),
    ],
)
def test_a_process_without_its_redis_stays_in_service(
    client: Client, settings: Settings, without_redis: str, status: str, said: str
) -> None:
    """What needs no limits goes on, and to all others it says itself why they must wait."""
    settings.REDIS_URL, settings.LIMITS_WITHOUT_REDIS = "redis://:secret@127.0.0.1:1", without_redis
    answer = client.get("/ready")

    assert (answer.status_code, answer.json()["status"]) == (200, status)
    assert answer.json()["checks"]["redis"] == said
    assert client.get("/health").json()["checks"]["redis"] == said


@pytest.mark.django_db
@pytest.mark.redis
def test_a_redis_that_takes_nothing_is_of_no_use(
    client: Client, settings: Settings, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica, or one without memory: it answers, and does nothing for limits."""
    settings.REDIS_URL = redis_url

    def refuse(redis: Redis, *arguments: object, **options: object) -> None:
        raise ReadOnlyError("You can't write against a read only replica.")

    monkeypatch.setattr(Redis, "set", refuse)

    assert client.get("/ready").json()["checks"]["redis"] == "unreachable, limited tokens are refused"


def test_a_redis_that_the_limits_have_lost_is_not_waited_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1"
    monkeypatch.setattr(health, "_runtime", lambda: SimpleNamespace(limits=SimpleNamespace(is_away=True)))
    monkeypatch.setattr(health, "Redis", None)

    assert health._redis() == health.LIMITED_ARE_REFUSED


@pytest.mark.django_db
def test_health_tells_the_version(client: Client) -> None:
    assert client.get("/health").json()["version"] == __version__


def test_only_reading_is_allowed(client: Client) -> None:
    assert client.post("/live").status_code == 405


def test_a_probe_may_name_the_host_by_any_address(client: Client) -> None:
    assert client.get("/live", headers={"host": "10.1.2.3:8000"}).status_code == 200
    assert client.get("/admin/", headers={"host": "10.1.2.3:8000"}).status_code == 400


@pytest.mark.parametrize(
    ("trouble", "status"),
    [
        ({"database": health.IN_GRACE, "changes": "no answer for 31 s"}, "degraded"),
        ({"database": health.IN_GRACE, "changes": "the poller's thread has died"}, "unready"),
        ({"changes": "no answer for 31 s"}, "unready"),
        ({"ledger": "nothing could be written for 31 s"}, "degraded"),
        ({"ledger": "the ledger's thread has died"}, "unready"),
        ({"spool": "90 % full"}, "degraded"),
    ],
)
def test_what_is_borne_takes_no_process_out_of_service(trouble: dict[str, str], status: str) -> None:
    sound = dict.fromkeys(("database", "migrations", "serving", "changes", "ledger", "spool"), "ok")

    assert health._status(sound | trouble) == status

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.utils import timezone
from structlog.testing import capture_logs

from audit.models import AuditEvent
from llm_proxy_site import scheduler
from llm_proxy_site.models import ScheduledTask
from llm_proxy_site.schedule import IsStopping, Task, tasks
from llm_proxy_site.scheduler import LEASE, Scheduler, claim
from tests.factories import AccessTokenFactory
from tests.live import eventually, serving_many
from tokens.models import AccessToken

HOUR = timedelta(hours=1)


def done(is_stopping: IsStopping) -> dict[str, Any]:
    return {"done": 1}


def task(run: Callable[[IsStopping], dict[str, Any]] = done, every: timedelta = HOUR) -> Task:
    return Task("a task", every, run)


def run_at(hours: float) -> None:
    """As if it had last begun so long ago."""
    ScheduledTask.objects.update(last_started_at=timezone.now() - hours * HOUR)


@pytest.mark.django_db
def test_task_is_run_when_it_is_due_and_not_before() -> None:
    one = Scheduler([task()])
    assert one.look() == ["a task"]
    assert one.look() == []
    run_at(2)
    assert one.look() == ["a task"]
    assert [event.details for event in AuditEvent.objects.filter(action="schedule.ran")] == [{"done": 1}] * 2


@pytest.mark.django_db
def test_task_that_runs_is_not_run_by_another_until_its_lease_is_over() -> None:
    now = timezone.now()
    assert claim(task(every=timedelta(0)), "one", now)
    assert not claim(task(every=timedelta(0)), "other", now + LEASE)
    assert claim(task(every=timedelta(0)), "other", now + LEASE + timedelta(seconds=1))


@pytest.mark.django_db
def test_task_of_a_process_that_died_is_due_when_its_lease_is_over() -> None:
    now = timezone.now()
    assert claim(task(every=24 * HOUR), "one", now)
    assert not claim(task(every=24 * HOUR), "other", now + LEASE / 2)
    assert claim(task(every=24 * HOUR), "other", now + LEASE + timedelta(seconds=1))


@pytest.mark.django_db
@pytest.mark.parametrize("is_done", [True, False])
def test_task_that_was_begun_by_a_clock_far_ahead_is_due_all_the_same(is_done: bool) -> None:
    now = timezone.now()
    assert claim(task(every=24 * HOUR), "one", now + timedelta(days=400))
    if is_done:
        ScheduledTask.objects.update(lease_until=None)
    assert claim(task(every=24 * HOUR), "other", now)
    assert not claim(task(every=24 * HOUR), "one", now + LEASE / 2)


def test_two_schedulers_are_never_taken_for_one() -> None:
    """As in containers with one host name, where each is process 1."""
    assert Scheduler([task()])._holder != Scheduler([task()])._holder


@pytest.mark.django_db
def test_failure_is_told_and_the_task_is_tried_at_its_next_turn() -> None:
    outcomes: list[Exception | None] = [ValueError("no room left"), None]

    def run(is_stopping: IsStopping) -> dict[str, Any]:
        problem = outcomes.pop(0)
        if problem:
            raise problem
        return {}

    one = Scheduler([task(run)])
    with capture_logs() as logs:
        one.look()
    assert ScheduledTask.objects.values_list("last_error", "lease_until").get() == ("no room left", None)
    assert AuditEvent.objects.get(action="schedule.failed").details == {"error": "no room left"}
    assert "a scheduled task failed" in [line["event"] for line in logs]
    run_at(2)
    assert one.look() == ["a task"]
    assert ScheduledTask.objects.get().last_error == ""


@pytest.mark.django_db
def test_task_that_the_end_of_a_server_breaks_off_is_due_at_once() -> None:
    def run(is_stopping: IsStopping) -> dict[str, Any]:
        one.stop()
        assert is_stopping()
        raise ValueError("stopped")

    one = Scheduler([task(run)])
    one._thread = Thread()  # it is not running
    one._thread.start()
    one.look()
    assert Scheduler([task()]).look() == ["a task"]


@pytest.mark.django_db(transaction=True)
def test_lease_is_renewed_while_a_task_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "LEASE", timedelta(seconds=0.5))

    def run(is_stopping: IsStopping) -> dict[str, Any]:
        began = ScheduledTask.objects.get().lease_until
        eventually(lambda: ScheduledTask.objects.get().lease_until > began)
        return {}

    Scheduler([task(run)]).look()
    assert ScheduledTask.objects.values_list("last_error", "lease_until").get() == ("", None)


def test_nothing_is_scheduled_unless_it_is_switched_on(settings: Any) -> None:
    assert tasks() == []
    settings.SCHEDULE = True
    assert [task.name for task in tasks()] == ["cleanup_tokens"]
    settings.SCHEDULE_PRUNE_OLDER_THAN = settings.SCHEDULE_BACKUP_EVERY = timedelta(days=90)
    assert [task.name for task in tasks()] == ["cleanup_tokens", "prune_usage", "backup_db"]


@pytest.mark.django_db
def test_expired_sessions_are_cleaned_up(settings: Any) -> None:
    settings.SCHEDULE = True
    for name, hours in (("over", -1), ("goes on", 1)):
        Session.objects.create(session_key=name, session_data="", expire_date=timezone.now() + hours * HOUR)
    (clean_up,) = tasks()
    assert clean_up.run(lambda: False) == {"deactivated": 0, "sessions": 1}
    assert [session.session_key for session in Session.objects.all()] == ["goes on"]


def test_two_servers_run_each_task_once(
    django_db_setup: None, transactional_db: None, tmp_path: Path
) -> None:
    token = AccessTokenFactory.create(expires_at=timezone.now() - HOUR)
    schedule = {
        "SCHEDULE": "true",
        "SCHEDULE_CLEANUP_EVERY": "1h",
        "SCHEDULE_PRUNE_OLDER_THAN": "90d",
        "SCHEDULE_PRUNE_EVERY": "2s",
        "SCHEDULE_BACKUP_EVERY": "24h",
        "SCHEDULE_BACKUP_DIR": str(tmp_path / "backups"),
    }

    def ran(name: str) -> int:
        return AuditEvent.objects.filter(action="schedule.ran", subject_id=name).count()

    with serving_many(2, tmp_path, **schedule):
        # Each of the two has looked several times.
        eventually(lambda: ran("prune_usage") >= 3 and ran("backup_db"), within_seconds=60)
        starts = list(ScheduledTask.objects.values_list("name", "last_error"))
        counts = ran("cleanup_tokens"), ran("backup_db")

    assert counts == (1, 1)
    assert sorted(starts) == [("backup_db", ""), ("cleanup_tokens", ""), ("prune_usage", "")]
    assert len(list((tmp_path / "backups").iterdir())) == 1
    assert not AccessToken.objects.get(pk=token.pk).is_active

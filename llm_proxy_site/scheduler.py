"""Runs what is scheduled, in a thread of the server: one process, of any number that share the database.

A task is claimed by an update of its row that only one process can make. The claim is a lease: it is renewed
while the task runs; if nobody renews it any more, the task is due, and another process takes over.
"""

import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import Error, connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from audit import trail
from llm_proxy_site.models import ScheduledTask
from llm_proxy_site.schedule import ACTOR, Task, tasks
from llm_proxy_site.server import lifecycle

LEASE = timedelta(minutes=5)
"""Much longer than the clocks of two machines differ."""
LOOK_SECONDS = 15.0
STOP_SECONDS = 10.0

log = structlog.get_logger("scheduler")


@contextmanager
def scheduling() -> Iterator[None]:
    """While this process serves."""
    scheduled = tasks()
    if not scheduled:
        yield
        return
    scheduler = Scheduler(scheduled)
    scheduler.start()
    try:
        yield
    finally:
        scheduler.stop()


class Scheduler:
    def __init__(self, scheduled: Sequence[Task], holder: str = "") -> None:
        self._tasks = scheduled
        self._holder = holder or _name_of_this()
        self._look_seconds = min(LOOK_SECONDS, *(task.every.total_seconds() / 2 for task in scheduled))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scheduler", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=STOP_SECONDS)

    def look(self) -> list[str]:
        """Run what is due and nobody runs, one after the other; the names. Raises django.db.Error."""
        run = []
        for task in self._tasks:
            if not self._is_stopping() and claim(task, self._holder, timezone.now()):
                self._do(task)
                run.append(task.name)
        return run

    def _run(self) -> None:
        while not self._stopping.wait(self._look_seconds):
            try:
                self.look()
            except Error as problem:
                log.error("what is scheduled cannot be read", error=str(problem))
            except Exception:  # the thread's edge: one failure must not end the schedule
                log.exception("the scheduler failed, and goes on")
            finally:
                connection.close()

    def _do(self, task: Task) -> None:
        log.info("a scheduled task begins", task=task.name)
        error, facts = "", {}
        with _renewing(task, self._holder):
            try:
                facts = task.run(self._is_stopping)
            except Exception as problem:  # whatever it is: it is told, and tried at the next turn
                error = " ".join(str(problem).split()) or type(problem).__name__
                log.exception("a scheduled task failed", task=task.name)
        if not connection.in_atomic_block:
            connection.close()  # it may have been lost meanwhile
        self._tell(task, error, facts)

    def _tell(self, task: Task, error: str, facts: dict[str, Any]) -> None:
        with transaction.atomic():
            held = _held(task, self._holder)
            held.update(last_finished_at=timezone.now(), last_error=error[:500], lease_until=None)
            if error and self._is_stopping():
                held.update(last_started_at=None)  # this server's end broke it off: it is due at once
            trail.record(
                "schedule.failed" if error else "schedule.ran",
                ScheduledTask(name=task.name),
                actor=ACTOR,
                details={"error": error} if error else facts,
            )
        if not error:
            log.info("a scheduled task has ended", task=task.name, **facts)

    def _is_stopping(self) -> bool:
        return self._stopping.is_set() or lifecycle.is_draining()


def claim(task: Task, holder: str, now: datetime) -> bool:
    """Whether it is due, nobody runs it, and it is this process that runs it now.

    A lease that is over is of a process that died before the task was done. What lies further ahead than
    clocks differ was written by one that was wrong, and says nothing.
    """
    has_turn = (
        Q(last_started_at=None)
        | Q(last_started_at__lte=now - task.every)
        | Q(last_started_at__gt=now + LEASE)
    )
    is_held_no_more = Q(lease_until__lt=now) | Q(lease_until__gt=now + 2 * LEASE)
    due = ScheduledTask.objects.filter(is_held_no_more | (Q(lease_until=None) & has_turn), pk=task.name)
    if not due.exists():
        if ScheduledTask.objects.filter(pk=task.name).exists():
            return False
        ScheduledTask.objects.bulk_create([ScheduledTask(name=task.name)], ignore_conflicts=True)
    return bool(due.update(holder=holder, lease_until=now + LEASE, last_started_at=now))


def _name_of_this() -> str:
    """Containers can have one host name, and the same process id in each."""
    return f"{socket.gethostname()[:60]}:{os.getpid()}:{secrets.token_hex(4)}"


def _held(task: Task, holder: str) -> "QuerySet[ScheduledTask]":
    return ScheduledTask.objects.filter(pk=task.name, holder=holder)


@contextmanager
def _renewing(task: Task, holder: str) -> Iterator[None]:
    """Meanwhile, another thread renews the lease."""
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(LEASE.total_seconds() / 5):
            _closing(lambda: _held(task, holder).update(lease_until=timezone.now() + LEASE))

    renewer = threading.Thread(target=renew, name="lease", daemon=True)
    renewer.start()
    try:
        yield
    finally:
        ended.set()
        renewer.join(timeout=STOP_SECONDS)


def _closing(act: Callable[[], object]) -> None:
    try:
        act()
    except Error as problem:
        log.warning("the lease of a scheduled task cannot be renewed", error=str(problem))
    finally:
        connection.close()

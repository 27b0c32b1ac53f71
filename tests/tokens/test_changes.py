import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.db import DatabaseError, InterfaceError, connection, transaction
from django.utils import timezone
from structlog.testing import capture_logs
from uuid_utils.compat import uuid7

from projects.lifecycle import add_upstream_key, set_project_active
from projects.models import Project, UpstreamKey
from tests.databases import table_away
from tests.factories import AccessTokenFactory, ProjectFactory
from tests.live import eventually
from tokens.changes import OVERLAP, ChangePoller
from tokens.directory import Changes
from tokens.lifecycle import revoke
from tokens.models import AccessToken
from usage.batches import write_batch
from usage.entry import UsageEntry

pytestmark = pytest.mark.django_db(transaction=True)


class Watch:
    """A poller that has seen all there was, and what it has told since."""

    def __init__(self) -> None:
        self.told: list[Changes] = []
        self.poller = ChangePoller(self.told.append, interval_seconds=0.02)
        self.poller.poll()
        self.told.clear()

    def poll(self) -> list[Changes]:
        """What one look tells."""
        self.told.clear()
        self.poller.poll()
        return self.told[:]


@pytest.fixture
def token() -> AccessToken:
    return AccessTokenFactory.create()


@pytest.fixture
def watch(token: AccessToken) -> Watch:
    return Watch()


@pytest.fixture
def running(watch: Watch) -> Iterator[Watch]:
    watch.poller.start()
    yield watch
    watch.poller.stop()


def end(token: AccessToken) -> None:
    assert revoke(token, actor="user:ada", now=timezone.now())


def switch_off(project: Project) -> None:
    assert set_project_active(project, False, actor="user:ada", now=timezone.now())


def switch_key_off(project: Project) -> None:
    key = project.upstream_keys.get()
    key.is_active = False
    key.save(update_fields=["is_active", "updated_at"])


def add_key(project: Project) -> None:
    add_upstream_key(project, "sk-upstream-second", actor="user:ada")


def poller_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "change-poller"]


def test_nothing_is_told_while_nothing_changes(watch: Watch) -> None:
    assert watch.poll() == []


def test_issued_token_is_told_by_its_id_and_digest(watch: Watch) -> None:
    issued = AccessTokenFactory.create(project=Project.objects.get())
    assert watch.poll() == [Changes(token_ids=frozenset({issued.id}), digests=frozenset({issued.digest}))]


def test_revoked_token_is_told(watch: Watch, token: AccessToken) -> None:
    end(token)
    (changes,) = watch.poll()
    assert changes.token_ids == {token.id}
    assert changes.project_ids == frozenset()


@pytest.mark.parametrize("change", [switch_off, switch_key_off, add_key])
def test_change_of_a_project_or_its_keys_tells_the_project(
    watch: Watch, token: AccessToken, change: Callable[[Project], None]
) -> None:
    change(token.project)
    assert watch.poll() == [Changes(project_ids=frozenset({token.project_id}))]


def test_all_changes_since_the_last_look_are_told_together(watch: Watch) -> None:
    projects = [ProjectFactory.create() for _ in range(3)]
    tokens = [AccessTokenFactory.create(project=project) for project in projects]
    (changes,) = watch.poll()
    assert changes.project_ids == {project.id for project in projects}
    assert changes.token_ids == {token.id for token in tokens}


def test_change_is_told_once(watch: Watch, token: AccessToken) -> None:
    end(token)
    assert [len(watch.poll()) for _ in range(4)] == [1, 0, 0, 0]


def test_row_that_changes_again_is_told_again(watch: Watch, token: AccessToken) -> None:
    switch_off(token.project)
    first = watch.poll()
    assert set_project_active(token.project, True, actor="user:ada", now=timezone.now())
    assert first == watch.poll() == [Changes(project_ids=frozenset({token.project_id}))]


def test_change_that_was_committed_late_is_told(watch: Watch, token: AccessToken) -> None:
    late = timezone.now() - OVERLAP + timedelta(seconds=5)
    AccessToken.objects.update(is_active=False, updated_at=late)
    (changes,) = watch.poll()
    assert changes.token_ids == {token.id}
    assert watch.poll() == []


def test_change_of_an_instant_before_the_poller_began_is_told(token: AccessToken) -> None:
    told: list[Changes] = []
    poller = ChangePoller(told.append, interval_seconds=1)
    poller.poll()
    assert [changes.token_ids for changes in told] == [{token.id}]


def test_counted_requests_are_no_change(watch: Watch, token: AccessToken) -> None:
    write_batch(
        [
            UsageEntry(
                id=uuid7(),
                started_at=time.time(),
                method="POST",
                path="/v1/chat/completions",
                project_id=token.project_id,
                token_id=token.id,
                is_admitted=True,
            )
        ]
    )
    token.refresh_from_db()
    assert token.request_count == 1
    assert watch.poll() == []


def test_change_is_told_when_its_transaction_commits_and_not_before(watch: Watch, token: AccessToken) -> None:
    looks = count_looks(watch)
    watch.poller.start()
    try:
        with transaction.atomic():
            end(token)
            eventually(lambda: len(looks) >= 3)
            told_before = watch.told[:]
        assert told_before == []
        assert eventually(lambda: watch.told)[0].token_ids == {token.id}
    finally:
        watch.poller.stop()


def test_look_that_the_database_refuses_says_so(watch: Watch) -> None:
    with table_away(AccessToken), pytest.raises(DatabaseError):
        watch.poll()


def test_change_of_a_time_without_database_is_told_when_it_is_back(watch: Watch, token: AccessToken) -> None:
    end(token)
    with table_away(AccessToken), pytest.raises(DatabaseError):
        watch.poll()
    (changes,) = watch.poll()
    assert changes.token_ids == {token.id}


def test_look_that_fails_half_way_loses_no_change(watch: Watch, token: AccessToken) -> None:
    end(token)
    with table_away(UpstreamKey), pytest.raises(DatabaseError):
        watch.poll()
    (changes,) = watch.poll()
    assert changes.token_ids == {token.id}


def test_thread_tells_changes_by_itself(running: Watch, token: AccessToken) -> None:
    end(token)
    assert eventually(lambda: running.told)[0].token_ids == {token.id}


def test_stopped_thread_is_gone(watch: Watch) -> None:
    watch.poller.start()
    assert len(poller_threads()) == 1
    watch.poller.stop()
    assert poller_threads() == []


def test_thread_outlives_an_absent_database_and_complains_once(watch: Watch, token: AccessToken) -> None:
    looks = count_looks(watch)
    with capture_logs() as logs:
        try:
            with table_away(AccessToken):
                watch.poller.start()
                eventually(lambda: len(looks) >= 3)
            end(token)
            changes, *_ = eventually(lambda: watch.told)
        finally:
            watch.poller.stop()
    assert changes.token_ids == {token.id}
    complaints = [line["event"] for line in logs if line["log_level"] in ("warning", "error")]
    # Where a table is away the database answers, but SQLite has one kind of error for both.
    absent = ["the database does not answer, known tokens go on"] if connection.vendor == "sqlite" else []
    assert complaints == ["changes cannot be read", *absent]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_thread_outlives_a_broken_connection(
    watch: Watch, token: AccessToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As MySQL's driver reports a connection that the server has closed."""
    problems = [InterfaceError(0, "")]
    poll = watch.poller.poll

    def broken_once() -> None:
        if problems:
            raise problems.pop()
        poll()

    monkeypatch.setattr(watch.poller, "poll", broken_once)
    watch.poller.start()
    try:
        eventually(lambda: not problems)
        end(token)
        assert eventually(lambda: watch.told, within_seconds=1)[0].token_ids == {token.id}
    finally:
        watch.poller.stop()


def count_looks(watch: Watch) -> list[None]:
    """Grows with each look."""
    looks: list[None] = []
    poll = watch.poller.poll

    def counted() -> None:
        looks.append(None)
        poll()

    watch.poller.poll = counted  # type: ignore[method-assign]
    return looks

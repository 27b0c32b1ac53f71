"""The control plane while the database does not answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.db import InterfaceError, OperationalError
from django.test import Client

from proxy.runtime import Runtime
from tests.factories import UserFactory
from tokens.reach import Reach


@contextmanager
def runtime(monkeypatch: pytest.MonkeyPatch, **parts: Any) -> Iterator[Reach]:
    """As if the data plane were running in this process."""
    reach = Reach(grace_seconds=600)
    sound = {name: SimpleNamespace(state="") for name in ("poller", "ledger", "spool")}
    monkeypatch.setattr(Runtime, "_current", SimpleNamespace(reach=reach, **(sound | parts)))
    yield reach


@pytest.mark.django_db
@pytest.mark.parametrize("problem", [OperationalError("database is locked"), InterfaceError("closed")])
def test_a_page_that_needs_the_database_is_unavailable(
    client: Client, monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    client.force_login(UserFactory.create(superuser=True))

    def fail(self: SessionStore) -> None:
        raise problem

    monkeypatch.setattr(SessionStore, "load", fail)
    answer = client.get("/admin/")

    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert "Try again" in answer.content.decode()
    assert "locked" not in answer.content.decode()


@pytest.mark.django_db
def test_a_session_that_cannot_be_saved_is_unavailable_too(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(raise_request_exception=False)
    user = UserFactory.create(superuser=True)
    user.set_password("correct horse battery")
    user.save()

    def fail(self: SessionStore, must_create: bool = False) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(SessionStore, "save", fail)
    form = {"username": user.username, "password": "correct horse battery", "next": "/admin/"}
    answer = client.post("/admin/login/", form)

    assert (answer.status_code, answer["Retry-After"]) == (503, "5")


@pytest.mark.django_db
def test_a_failure_of_ours_is_still_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: SessionStore) -> None:
        raise RuntimeError

    client = Client(raise_request_exception=False)
    client.force_login(UserFactory.create(superuser=True))
    monkeypatch.setattr(SessionStore, "load", fail)

    assert client.get("/admin/").status_code == 500


@pytest.mark.django_db
def test_a_process_whose_parts_are_sound_is_ready(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    with runtime(monkeypatch):
        answer = client.get("/ready")

    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    assert answer.json()["checks"]["spool"] == "ok"


@pytest.mark.django_db
def test_within_the_grace_a_process_without_its_database_is_degraded(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with runtime(monkeypatch) as reach:
        reach.answered()
        reach.failed("gone")
        answer = client.get("/ready")

    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["checks"]["database"] == "unreachable, known tokens go on"


@pytest.mark.django_db
def test_a_process_that_never_had_an_answer_is_not_ready(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with runtime(monkeypatch) as reach:
        reach.failed("gone")
        answer = client.get("/ready")

    assert (answer.status_code, answer.json()["checks"]["database"]) == (503, "unreachable")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("part", "state", "status", "said"),
    [
        ("poller", "no answer for 40 s", 503, "unready"),
        ("ledger", "the ledger's thread has died", 503, "unready"),
        ("ledger", "nothing could be written for 40 s", 200, "degraded"),
        ("spool", "85 % full", 200, "degraded"),
    ],
)
def test_each_part_that_fails_is_named(
    client: Client, monkeypatch: pytest.MonkeyPatch, part: str, state: str, status: int, said: str
) -> None:
    with runtime(monkeypatch, **{part: SimpleNamespace(state=state)}):
        answer = client.get("/ready")

    assert (answer.status_code, answer.json()["status"]) == (status, said)
    assert state in answer.json()["checks"].values()

"""Who serves is seen by who would replace the database, and the other way round.

On SQLite it is a lock on a file beside the database, which dies with the process. A database server knows its
sessions: whoever serves always has one.
"""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import structlog
from django.conf import settings
from django.db import Error, connection, connections

PRESENCE_SECONDS = 5.0
TWO_COUNT = (
    "Another server on this database counts limits and budgets for itself, too. Set REDIS_URL for both."
)
OTHERS = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
    "mysql": "SELECT count(*) FROM information_schema.processlist "
    "WHERE db = DATABASE() AND id <> CONNECTION_ID()",
}


log = structlog.get_logger("server")


class InUseError(Exception):
    """The message is for the operator."""


@contextmanager
def serving() -> Iterator[None]:
    """While this process serves; any number may. Raises InUseError while the database is being replaced."""
    if connection.vendor == "sqlite":
        with _locked(fcntl.LOCK_SH, "The database is being restored."):
            yield
        return
    ended = threading.Event()
    presence = threading.Thread(target=_be_present, args=(ended,), name="presence", daemon=True)
    presence.start()
    try:
        yield
    finally:
        ended.set()
        presence.join(timeout=1)


@contextmanager
def counting() -> Iterator[None]:
    """While this process serves. That another one counts limits for itself on the same SQLite database, as
    this one does, is logged; of other databases it cannot be seen.
    """
    with ExitStack() as stack:
        if connection.vendor == "sqlite" and not settings.REDIS_URL:
            try:
                stack.enter_context(_locked(fcntl.LOCK_EX, TWO_COUNT, suffix=".counting"))
            except InUseError as problem:
                log.warning("limits are counted twice", problem=str(problem))
        yield


@contextmanager
def alone() -> Iterator[None]:
    """While the database is replaced. Raises InUseError while somebody serves."""
    if connection.vendor == "sqlite":
        with _locked(fcntl.LOCK_EX, "A server is running on this database. Stop it first."):
            yield
        return
    with connection.cursor() as cursor:
        cursor.execute(OTHERS[connection.vendor])
        others = cursor.fetchone()[0]
    if others:
        raise InUseError(f"{others} other sessions use this database. Stop the servers first.")
    yield


@contextmanager
def _locked(kind: int, refusal: str, *, suffix: str = ".lock") -> Iterator[None]:
    database = Path(connection.settings_dict["NAME"])
    path = database.with_name(f"{database.name}{suffix}")
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as problem:
        raise InUseError(f"{path}: {problem.strerror}.") from None
    try:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUseError(refusal) from None
        yield
    finally:
        os.close(descriptor)


def _be_present(ended: threading.Event) -> None:
    """Hold a session; where the database goes away, a new one as soon as it is back."""
    session = connections.create_connection("default")
    while True:
        try:
            with session.cursor() as cursor:
                cursor.execute("SELECT 1")
        except Error:
            with suppress(Error):
                session.close()
        if ended.wait(PRESENCE_SECONDS):
            break
    session.close()

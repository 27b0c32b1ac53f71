"""A session that whoever serves, or would replace, a database has on its server for as long as it does so.

A claim goes with it, and ends with it: of all who serve together, or of one alone who replaces. MySQL and
MariaDB have none that are shared: there, who serves has the session first and then looks for the claim; who
replaces claims first and then counts sessions. So at least one of the two sees the other.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import structlog
from django.db import Error, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper

PRESENCE_SECONDS = 5.0

log = structlog.get_logger("server")


@dataclass(frozen=True, slots=True)
class Claims:
    """Queries."""

    to_serve: str
    to_replace: str
    session: str
    """Its number."""
    others: str
    """How many sessions use the database, but for the one that asks and one that is given."""


CLAIMS = {
    # Of the database: 'llmproxy' as a number.
    "postgresql": Claims(
        to_serve="SELECT pg_try_advisory_lock_shared(x'6c6c6d70726f7879'::bigint)",
        to_replace="SELECT pg_try_advisory_lock(x'6c6c6d70726f7879'::bigint)",
        session="SELECT pg_backend_pid()",
        others="SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid NOT IN (pg_backend_pid(), %s) AND backend_type = 'client backend'",
    ),
    # Of the whole server, so the database is in the name.
    "mysql": Claims(
        to_serve="SELECT IS_FREE_LOCK(CONCAT('llm-proxy-', MD5(DATABASE())))",
        to_replace="SELECT GET_LOCK(CONCAT('llm-proxy-', MD5(DATABASE())), 0)",
        session="SELECT CONNECTION_ID()",
        others="SELECT count(*) FROM information_schema.processlist "
        "WHERE db = DATABASE() AND id NOT IN (CONNECTION_ID(), %s)",
    ),
}


class Presence:
    has_claim: bool | None = None
    """None: the database could not be asked. It is tried again."""
    number = 0
    """Of the session."""

    def __init__(self, claim: str) -> None:
        self._claim = claim
        self._session: BaseDatabaseWrapper = connections.create_connection("default")
        self._session.inc_thread_sharing()  # one thread after the other
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._stay, name="presence", daemon=True)
        self.has_claim = self._look()

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join(timeout=1)

    def close(self) -> None:
        with suppress(Error):
            self._session.close()

    def _stay(self) -> None:
        while not self._ended.wait(PRESENCE_SECONDS):
            had = self.has_claim
            self.has_claim = self._look()
            if self.has_claim is False and had is not False:
                log.error("the database is being replaced while this server runs: stop it")
        self.close()

    def _look(self) -> bool | None:
        """Whoever has the claim goes on having it; where the database was away, it is made anew."""
        try:
            if self._session.connection is not None and self.has_claim:
                self._ask("SELECT 1")
                return True
            has_claim = bool(self._ask(self._claim))
            self.number = self._ask(CLAIMS[connection.vendor].session)
            return has_claim
        except Error:
            self.close()
            return None

    def _ask(self, query: str) -> int:
        with self._session.cursor() as cursor:
            cursor.execute(query)
            return int(cursor.fetchone()[0] or 0)


@contextmanager
def present(claim: str) -> Iterator[Presence]:
    presence = Presence(claim)
    presence.start()
    try:
        yield presence
    finally:
        presence.end()


def count_others(session: int) -> int:
    """Sessions on the database but this thread's and that one. Raises django.db.Error."""
    with connection.cursor() as cursor:
        cursor.execute(CLAIMS[connection.vendor].others, [session])
        return int(cursor.fetchone()[0])

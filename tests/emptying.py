"""Emptying the database between tests: all but what migrations put there, which servers know by heart, and
which takes longer to make than most tests.

On PostgreSQL servers go on writing meanwhile. Django's TRUNCATE takes one table after the other, and a
server in the middle of a transaction has some and wants others: a deadlock, which the test loses, and its
rows stay for the next one. So here all are taken, or none. DELETE, because for tables of a few rows it is
many times as fast. MariaDB deletes likewise, and says which of two that wait for each other has lost: it is
done again.
"""

from collections.abc import Callable
from typing import Any

from django.core.management.commands import flush
from django.db import OperationalError, connection, transaction
from psycopg.errors import LockNotAvailable

from tests.databases import execute, own_database_url
from tests.live import eventually

KEPT = frozenset({"django_content_type", "auth_permission", "auth_group", "auth_group_permissions"})
LOCK_MS = 100
"""Less than the second after which PostgreSQL looks for deadlocks."""
DEADLOCK = 1213
"""MySQL's number for it."""
EMPTIED_SECONDS = 60


def keep_what_migrations_make() -> None:
    """From here on, whenever Django empties the database."""
    operations = type(connection.ops)
    statements = operations.sql_flush

    def sql_flush(self: Any, style: Any, tables: list[str], **options: Any) -> list[str]:
        return statements(self, style, [table for table in tables if table not in KEPT], **options)

    operations.sql_flush = sql_flush  # type: ignore[method-assign, assignment]
    flush.emit_post_migrate_signal = lambda *arguments, **options: None  # type: ignore[attr-defined]


def empty_beside_servers() -> None:
    """As above."""
    operations = type(connection.ops)
    if connection.vendor == "postgresql":
        operations.execute_sql_flush = _empty  # type: ignore[assignment, method-assign]
    elif connection.vendor == "mysql":
        flush_once = operations.execute_sql_flush

        def flush_again(self: Any, statements: list[str]) -> None:
            eventually(
                lambda: _is_flushed(lambda: flush_once(self, statements)), within_seconds=EMPTIED_SECONDS
            )

        operations.execute_sql_flush = flush_again  # type: ignore[assignment, method-assign]


def end_other_sessions() -> None:
    """Of threads, and of servers that were killed: PostgreSQL drops no database that has any."""
    if connection.vendor == "postgresql":
        execute(
            own_database_url(),
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )


def _empty(operations: Any, _: list[str]) -> None:
    database = operations.connection
    names = database.introspection.django_table_names(only_existing=True, include_views=False)
    tables = sorted(operations.quote_name(name) for name in names if name not in KEPT)
    eventually(lambda: _is_emptied(database, tables), within_seconds=EMPTIED_SECONDS)


def _is_flushed(flush_once: Callable[[], None]) -> bool:
    try:
        flush_once()
    except OperationalError as problem:
        if problem.args[0] != DEADLOCK:
            raise
        return False
    return True


def _is_emptied(database: Any, tables: list[str]) -> bool:
    statements = [
        f"SET LOCAL lock_timeout = {LOCK_MS}",
        f"LOCK TABLE {', '.join(tables)} IN EXCLUSIVE MODE",
        *(f"DELETE FROM {table}" for table in tables),  # noqa: S608
    ]
    try:
        with transaction.atomic(using=database.alias), database.cursor() as cursor:
            cursor.execute("; ".join(statements))
    except OperationalError as problem:
        if not isinstance(problem.__cause__, LockNotAvailable):
            raise
        return False
    return True

"""Whether the database's tables are those of this version."""

from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from usage.rebuilding import rebuild_if_unsummed

_seen: set[str] = set()


def unapplied_migrations() -> int:
    """How many migrations the database lacks. Raises django.db.Error."""
    executor = MigrationExecutor(connection)
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def lacking_migrations() -> int:
    """As `unapplied_migrations`, for who serves: once all are applied, they stay so."""
    if "all" in _seen:
        return 0
    lacking = unapplied_migrations()
    if not lacking:
        _seen.add("all")
    return lacking


def bring_up_to_date() -> None:
    """Apply the migrations, and sum up a ledger that is older than its sums. Raises django.db.Error."""
    if connection.vendor == "mysql" and not connection.introspection.table_names():
        # By itself it compares text without case, and accents: two ids or names would be one.
        with connection.cursor() as cursor:
            cursor.execute("ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
    call_command("migrate", verbosity=0, interactive=False)
    rebuild_if_unsummed()

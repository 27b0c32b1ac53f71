"""Whose the tables of a database are. Restoring drops them all: it is refused where some are not ours."""

from django.apps import apps
from django.db import connection

from llm_proxy_site.backups.errors import BackupError

SHOWN = 5


def refuse_tables_of_others() -> None:
    """Ours are those that begin as our apps do: a newer version may have some that this one does not know."""
    ours = ("django_", *(f"{app.label}_" for app in apps.get_app_configs() if app.models))
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
    others = [table for table in tables if not table.startswith(ours)]
    if others:
        shown = ", ".join(others[:SHOWN]) + (", …" if len(others) > SHOWN else "")
        raise BackupError(
            f"Restoring would delete tables of another program: {shown}. "
            "Give this program a database of its own."
        )

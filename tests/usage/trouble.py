"""A ledger whose database is in trouble: the PostgreSQL database that DATABASE_URL names.

`python -m tests.usage.trouble` prints what came of it, as JSON. It is a process of its own, as
`tests.usage.overlap` is.
"""

import json
import os
from uuid import UUID

import django
from django.db import connection

import tests.environment  # noqa: F401  (secrets and a data directory, before Django reads its settings)
from tests.live import eventually

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llm_proxy_site.settings")
django.setup()

from tests.factories import AccessTokenFactory, usage_entry  # noqa: E402
from usage.ledger import Ledger  # noqa: E402
from usage.models import UsageRecord  # noqa: E402


def stop_with_a_dead_connection() -> dict[str, int]:
    """Which was idle when it died."""
    token = AccessTokenFactory.create()
    ledger = Ledger(batch_seconds=3600, max_pending=10)
    ledger.record(usage_entry(token))
    ledger.start()
    eventually(lambda: _written(token.id) == 1)
    _execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    ledger.record(usage_entry(token))
    return {"lost": ledger.stop(), "written": _written(token.id)}


def outlast_a_database_that_only_reads() -> dict[str, int]:
    token = AccessTokenFactory.create()
    ledger = Ledger(batch_seconds=0.05, max_pending=10)
    name = connection.ops.quote_name(connection.settings_dict["NAME"])
    _execute("SET default_transaction_read_only = off")  # of this session, whatever the database's is
    _execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    ledger.record(usage_entry(token))
    ledger.start()
    eventually(lambda: ledger._failures > 1)
    _execute(f"ALTER DATABASE {name} SET default_transaction_read_only = off")
    eventually(lambda: _written(token.id) == 1)
    return {"lost": ledger.stop(), "written": _written(token.id)}


def _written(token_id: UUID) -> int:
    return UsageRecord.objects.filter(token_id=token_id).count()


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


if __name__ == "__main__":
    dead, read_only = stop_with_a_dead_connection(), outlast_a_database_that_only_reads()
    print(json.dumps({"dead": dead, "read_only": read_only}))  # noqa: T201

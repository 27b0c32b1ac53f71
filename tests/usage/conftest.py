"""The database of tests/e2e/test_postgres.py, for the ledger's own tests."""

from tests.e2e.test_postgres import database_url as postgres_url

__all__ = ["postgres_url"]

"""Databases of tests: this process's own, others on servers, made for one test and dropped after it, and a
table that is away.
"""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from django.db import connection
from django.db.models import Model


class NoServerError(Exception):
    """There is none at this URL, or no driver for it."""


def own_database_url() -> str:
    """This process's test database, as DATABASE_URL would name it to another."""
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    return urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}"))


@contextmanager
def database_on(server_url: str, *, options: str = "") -> Iterator[str]:
    """The URL of a new database. Raises NoServerError."""
    name = f"llm_proxy_{uuid.uuid4().hex}"
    execute(server_url, f"CREATE DATABASE {name} {options}")
    try:
        yield urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
    finally:
        force = " WITH (FORCE)" if server_url.startswith("postgres") else ""
        execute(server_url, f"DROP DATABASE {name}{force}")


@contextmanager
def copied(url: str) -> Iterator[str]:
    """The URL of a new database that is as this one, which nobody uses meanwhile."""
    original = urlsplit(url).path.lstrip("/")
    if url.startswith("postgres"):
        server_url = urlunsplit(urlsplit(url)._replace(path="/postgres"))
        with database_on(server_url, options=f"TEMPLATE {original}") as copy:
            yield copy
        return
    with database_on(url, options="CHARACTER SET utf8mb4 COLLATE utf8mb4_bin") as copy:
        tables = [name for (name,) in execute(url, "SHOW TABLES")]
        made = [execute(url, f"SHOW CREATE TABLE {name}")[0][1] for name in tables]
        filled = [f"INSERT INTO {name} SELECT * FROM {original}.{name}" for name in tables]  # noqa: S608
        execute(copy, "; ".join(["SET FOREIGN_KEY_CHECKS = 0", *made, *filled]))
        yield copy


@contextmanager
def table_away(model: type[Model]) -> Iterator[None]:
    """Meanwhile, the database fails whoever asks for this table."""
    table = model._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO away")
        try:
            yield
        finally:
            cursor.execute(f"ALTER TABLE away RENAME TO {table}")


def execute(url: str, statement: str) -> list[Any]:
    """The rows that the statement gives. Raises NoServerError."""
    return _execute_mysql(url, statement) if url.startswith("mysql") else _execute_postgres(url, statement)


def _execute_postgres(url: str, statement: str) -> list[Any]:
    import psycopg

    try:
        server = psycopg.connect(url, autocommit=True, connect_timeout=3)
    except psycopg.OperationalError as problem:
        raise NoServerError(str(problem).splitlines()[0]) from problem
    with server:
        cursor = server.execute(statement)
        return cursor.fetchall() if cursor.description else []


def _execute_mysql(url: str, statement: str) -> list[Any]:
    try:
        import MySQLdb
    except ImportError as problem:
        raise NoServerError("mysqlclient is not installed: `make mysql`") from problem

    parts = urlsplit(url)
    try:
        server = MySQLdb.connect(
            host=parts.hostname,
            port=parts.port or 3306,
            user=parts.username or "",
            password=parts.password or "",
            database=parts.path.lstrip("/"),
            connect_timeout=3,
            autocommit=True,
        )
    except MySQLdb.OperationalError as problem:
        raise NoServerError(str(problem)) from problem
    try:
        with server.cursor() as cursor:
            cursor.execute(statement)
            rows = list(cursor.fetchall())
            while cursor.nextset():  # else nobody is told what was wrong with it
                pass
            return rows
    finally:
        server.close()

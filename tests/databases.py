"""Databases on the servers that tests may use: each made for one test, and dropped after it."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit


class NoServerError(Exception):
    """There is none at this URL, or no driver for it."""


@contextmanager
def database_on(server_url: str) -> Iterator[str]:
    """The URL of a new database. Raises NoServerError."""
    name = f"llm_proxy_{uuid.uuid4().hex}"
    execute(server_url, f"CREATE DATABASE {name}")
    try:
        yield urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
    finally:
        force = " WITH (FORCE)" if server_url.startswith("postgres") else ""
        execute(server_url, f"DROP DATABASE {name}{force}")


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
            return list(cursor.fetchall())
    finally:
        server.close()

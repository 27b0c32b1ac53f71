"""Databases as the Go original (sofatutor/llm-proxy) makes them: its tables, and rows as
its driver writes them.
"""

import base64
import os
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from uuid_utils.compat import uuid7

from tokens.format import digest

FIRST = """
CREATE TABLE projects (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, openai_api_key TEXT NOT NULL,
    created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE tokens (token TEXT PRIMARY KEY, project_id TEXT NOT NULL, expires_at DATETIME,
    is_active BOOLEAN NOT NULL DEFAULT 1, request_count INTEGER NOT NULL DEFAULT 0, max_requests INTEGER,
    created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP, last_used_at DATETIME,
    FOREIGN KEY (project_id) REFERENCES projects(id) ON DELETE CASCADE);
"""
"""Its first schema."""
LAST = """
CREATE TABLE projects (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, api_key TEXT NOT NULL,
    is_active BOOLEAN NOT NULL DEFAULT 1, deactivated_at DATETIME,
    created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE tokens (id TEXT PRIMARY KEY, token TEXT NOT NULL UNIQUE, project_id TEXT NOT NULL,
    expires_at DATETIME, is_active BOOLEAN NOT NULL DEFAULT 1, deactivated_at DATETIME,
    request_count INTEGER NOT NULL DEFAULT 0, max_requests INTEGER,
    created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP, last_used_at DATETIME,
    cache_hit_count INTEGER NOT NULL DEFAULT 0, metadata TEXT,
    FOREIGN KEY (project_id) REFERENCES projects(id) ON DELETE CASCADE);
CREATE TABLE audit_events (id TEXT PRIMARY KEY, timestamp DATETIME NOT NULL, action TEXT NOT NULL,
    actor TEXT NOT NULL, project_id TEXT, request_id TEXT, correlation_id TEXT, client_ip TEXT, method TEXT,
    path TEXT, user_agent TEXT, outcome TEXT NOT NULL CHECK (outcome IN ('success', 'failure')),
    reason TEXT, token_id TEXT, metadata TEXT);
"""

KEY = "sk-proj-of-the-original-0123456789"
CREATED = "2026-01-02 03:04:05.123456789+01:00"
LATER = "2099-01-02 03:04:05.5+00:00"


class OriginalDatabase:
    """A file that the original could have left, to be filled."""

    def __init__(self, file: Path, schema: str = LAST) -> None:
        self.file = file
        self._has_ids = schema is not FIRST
        self._key_column = "api_key" if self._has_ids else "openai_api_key"
        with closing(sqlite3.connect(file)) as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.executescript(schema)

    def add_project(self, name: str, key: str = KEY, **columns: Any) -> str:
        """Its id."""
        row = {"id": str(uuid.uuid4()), "name": name, "created_at": CREATED, self._key_column: key, **columns}
        self.insert("projects", **row)
        return str(row["id"])

    def add_token(self, project_id: str, plain: str = "", *, is_hashed: bool = False, **columns: Any) -> str:
        """Its plain text."""
        plain = plain or new_plain()
        row = {
            "token": digest(plain) if is_hashed else plain,
            "project_id": project_id,
            "created_at": CREATED,
        }
        ids = {"id": str(uuid.uuid4())} if self._has_ids else {}
        self.insert("tokens", **{**row, **ids, "expires_at": LATER, **columns})
        return plain

    def token_id_of(self, plain: str) -> str:
        with closing(sqlite3.connect(self.file)) as database:
            (token_id,) = database.execute("SELECT id FROM tokens WHERE token = ?", [plain]).fetchone()
        return str(token_id)

    def insert(self, table: str, **columns: Any) -> None:
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        self.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", *columns.values())  # noqa: S608

    def execute(self, statement: str, *values: Any) -> None:
        with closing(sqlite3.connect(self.file)) as database, database:
            database.execute(statement, values)


def new_plain(prefix: str = "sk-") -> str:
    return prefix + base64.urlsafe_b64encode(uuid7().bytes).decode().rstrip("=")


def sealed(plain: str, key: bytes) -> str:
    """An upstream key as the original encrypts it."""
    nonce = os.urandom(12)
    return "enc:v1:" + base64.b64encode(nonce + AESGCM(key).encrypt(nonce, plain.encode(), None)).decode()

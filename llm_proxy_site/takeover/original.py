"""The SQLite database of the Go original, read as it is: its projects, with their keys decrypted, its tokens.

Its schema has grown: columns that old versions lack have defaults, and one that is not known here is refused,
for it may say what nobody would look at. What is wrong with its rows is noted, not raised: Original.problems.
"""

import base64
import binascii
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from llm_proxy_site.files import is_file
from llm_proxy_site.takeover.row import MAX_SHOWN, Row, shown
from tokens.format import digest, is_of_original, prefix_of_original

PATIENCE_SECONDS = 5
NEEDS_WRITING = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY_CANTINIT,
    sqlite3.SQLITE_READONLY_DIRECTORY,
}
"""As SQLite says that it cannot make or write the files beside the database."""
ENCRYPTED = "enc:v1:"
"""Before base64 of a nonce of 12 bytes and what AES-256-GCM made of the key."""
NONCE_BYTES = 12
NAMESPACE = UUID("5f6a3f0e-7a1c-5f0b-9d0e-0c9e2f6b7a11")
"""For the ids of what has none that is a UUID: the same at every import."""
DIGEST_LENGTH = 64

NEEDED = {
    "projects": {"id", "name", "created_at"},
    "tokens": {
        "token",
        "project_id",
        "expires_at",
        "request_count",
        "max_requests",
        "created_at",
        "last_used_at",
    },
}
OPTIONAL = {
    "projects": {"openai_api_key", "api_key", "is_active", "deactivated_at", "updated_at"},
    "tokens": {"id", "is_active", "deactivated_at", "cache_hit_count", "metadata"},
}


class OriginalError(Exception):
    """The file cannot be taken over; the message is fit for a user, and holds no secret."""


@dataclass(frozen=True, slots=True)
class OriginalProject:
    label: str
    id: UUID
    name: str
    upstream_key: str = field(repr=False)
    """Empty: it has none."""
    is_active: bool
    deactivated_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class OriginalToken:
    label: str
    id: UUID
    project_id: UUID
    digest: str
    """SHA-256 of the plain text, in hexadecimal, as ours."""
    prefix: str
    last_four: str
    """Both empty, where the file has no more than the digest."""
    expires_at: datetime | None
    is_active: bool
    deactivated_at: datetime | None
    request_count: int
    max_requests: int | None
    cap_was_zero: bool
    """Then there is none, as the original's documents say; its versions differ."""
    created_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class Original:
    projects: list[OriginalProject]
    tokens: list[OriginalToken]
    unusable_tokens: int
    """Of no form that the original has ever issued: nobody could have used them."""
    sha256: str
    """Of the database as it was read, what was in its write-ahead log included."""
    problems: list[str]
    """That keep rows from being imported, a sentence each."""


def read(file: Path, encryption_key: str = "") -> Original:
    """All of it, at one instant. `encryption_key`: the original's ENCRYPTION_KEY. Raises OriginalError."""
    decrypt = _decryption(encryption_key)
    problems: list[str] = []
    with _opened(file) as database:
        for table in NEEDED:
            _check_columns(file, database, table)
        projects = [
            _project(values, decrypt, problems)
            for values in database.execute("SELECT * FROM projects ORDER BY created_at")
        ]
        found = [
            _token(values, problems)
            for values in database.execute("SELECT * FROM tokens ORDER BY created_at")
        ]
        checksum = _sha256(file, database)
    tokens = [token for token in found if token is not None]
    return Original(projects, tokens, len(found) - len(tokens), checksum, problems)


@contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    try:
        if not is_file(file):
            raise OriginalError(f"{file} is not a file.")
        file.open("rb").close()
    except OSError as problem:
        raise OriginalError(f"{file} cannot be read: {problem.strerror}.") from None
    try:
        with closing(_connected(file)) as database:
            database.isolation_level = None
            database.row_factory = _by_name
            database.text_factory = _text
            database.execute("BEGIN")
            yield database
    except sqlite3.OperationalError as problem:
        if problem.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise OriginalError(f"{file} is locked by another program. Stop the original first.") from None
        raise OriginalError(f"{file} cannot be read: {problem}.") from None
    except sqlite3.DatabaseError as problem:
        raise OriginalError(f"{file} is no SQLite database, or it is damaged: {problem}.") from None


def _connected(file: Path) -> sqlite3.Connection:
    """Even to read a database with a write-ahead log SQLite makes files beside it. Where it cannot, and the
    log is empty or not there, it is read as one that nobody changes.
    """
    address = f"{file.absolute().as_uri()}?mode=ro"
    database = sqlite3.connect(address, uri=True, timeout=PATIENCE_SECONDS)
    try:
        database.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as problem:
        database.close()
        if problem.sqlite_errorcode not in NEEDS_WRITING:
            raise
        if _has_log(file):
            raise OriginalError(
                f"{file} cannot be read where it lies, for its write-ahead log needs a folder that can be "
                "written. Copy it to one, with the files beside it whose names begin like its own."
            ) from None
        return sqlite3.connect(f"{address}&immutable=1", uri=True)
    except sqlite3.DatabaseError:
        database.close()
        raise
    return database


def _has_log(file: Path) -> bool:
    """A write-ahead log with something in it."""
    log = file.resolve().with_name(f"{file.resolve().name}-wal")
    return log.is_file() and log.stat().st_size > 0


def _text(raw: bytes) -> str | bytes:
    """What is not UTF-8 is no text, and is told as such."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _check_columns(file: Path, database: sqlite3.Connection, table: str) -> None:
    columns = {str(row["name"]) for row in database.execute(f"PRAGMA table_info({table})")}
    if not columns:
        raise OriginalError(f"{file} is no database of the Go original: it has no table {table}.")
    if missing := NEEDED[table] - columns:
        names = ", ".join(sorted(missing))
        raise OriginalError(f"{file} is no database of the Go original: its table {table} has no {names}.")
    if unknown := columns - NEEDED[table] - OPTIONAL[table]:
        raise OriginalError(
            f"{file} is of a newer version of the Go original than is known here: its table {table} has "
            f"{', '.join(sorted(unknown))}. Nothing was imported."
        )


def _by_name(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


def _sha256(file: Path, database: sqlite3.Connection) -> str:
    """The file's, as it is when its write-ahead log is merged into it."""
    if _has_log(file):
        return sha256(database.serialize()).hexdigest()
    with file.open("rb") as content:
        return file_digest(content, "sha256").hexdigest()


def _project(values: dict[str, Any], decrypt: "_Decryption", problems: list[str]) -> OriginalProject:
    project_id = _id(values["id"])
    row = Row(_project_label(values["name"], project_id), values, problems)
    return OriginalProject(
        label=row.label,
        id=project_id,
        name=row.text("name"),
        upstream_key=decrypt(row),
        is_active=row.flag("is_active", missing=True),
        deactivated_at=row.instant("deactivated_at"),
        created_at=row.needed_instant("created_at"),
    )


def _project_label(name: object, project_id: UUID) -> str:
    if isinstance(name, str) and name.isprintable() and 0 < len(name.strip()) <= MAX_SHOWN:
        return f"The project {name}"
    return f"The project {shown(name)} with the id {project_id}"


def _token(values: dict[str, Any], problems: list[str]) -> OriginalToken | None:
    stored = values["token"]
    if not isinstance(stored, str):
        return None
    is_digest = len(stored) == DIGEST_LENGTH and not set(stored.lower()) - set("0123456789abcdef")
    if not (is_digest or is_of_original(stored)):
        return None
    known = stored.lower() if is_digest else digest(stored)
    last_four = "" if is_digest else stored[-4:]
    row = Row(_token_label(values.get("id"), last_four, known), values, problems)
    cap = row.number("max_requests")
    return OriginalToken(
        label=row.label,
        id=_id(values.get("id") or known),
        project_id=_id(values["project_id"]),
        digest=known,
        prefix=prefix_of_original(stored),
        last_four=last_four,
        expires_at=row.instant("expires_at"),
        is_active=row.flag("is_active", missing=True),
        deactivated_at=row.instant("deactivated_at"),
        request_count=max(row.number("request_count") or 0, 0),
        max_requests=cap or None,
        cap_was_zero=cap == 0,
        created_at=row.needed_instant("created_at"),
        last_used_at=row.instant("last_used_at"),
    )


def _token_label(token_id: object, last_four: str, known: str) -> str:
    """By its id, if there is one; never by its plain text, which was the key of the first schema."""
    try:
        return f"The token {UUID(str(token_id))}"
    except ValueError:
        return f"The token …{last_four}" if last_four else f"The token with the SHA-256 {known}"


def _id(value: object) -> UUID:
    try:
        return UUID(str(value))
    except ValueError:
        return uuid5(NAMESPACE, str(value))


class _Decryption:
    def __init__(self, cipher: AESGCM | None) -> None:
        self._cipher = cipher

    def __call__(self, row: Row) -> str:
        """The upstream key; empty where there is none, or where the row's problems say why not."""
        stored = row.text("api_key") or row.text("openai_api_key")
        if not stored.startswith(ENCRYPTED):
            return stored
        if self._cipher is None:
            row.tell(
                "upstream key", "It is encrypted. Give the original's ENCRYPTION_KEY with --encryption-key."
            )
            return ""
        try:
            sealed = base64.b64decode(stored.removeprefix(ENCRYPTED), validate=True)
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None).decode()
        except (InvalidTag, ValueError):
            row.tell(
                "upstream key",
                "That ENCRYPTION_KEY does not decrypt it. Give the one that it was encrypted with, or give "
                "the project its key anew in the original.",
            )
            return ""


def _decryption(encryption_key: str) -> _Decryption:
    if not encryption_key:
        return _Decryption(None)
    try:
        return _Decryption(AESGCM(base64.b64decode(encryption_key, validate=True)))
    except (binascii.Error, ValueError):
        raise OriginalError("That is no ENCRYPTION_KEY of the original: it is base64 of 32 bytes.") from None

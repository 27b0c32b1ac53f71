"""Who serves is seen by who would replace the database, and the other way round.

On SQLite it is a lock on a file beside the database, which dies with the process. A database server knows its
sessions: whoever serves always has one, with a claim.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import structlog
from django.conf import settings
from django.db import connection

from llm_proxy_site.ownership import own_like
from llm_proxy_site.presence import CLAIMS, count_others, present

RESTORED = "The database is being restored."
TWO_COUNT = (
    "Another server on this database counts limits and budgets for itself, too. Set REDIS_URL for both."
)
log = structlog.get_logger("server")


class InUseError(Exception):
    """The message is for the operator."""


@contextmanager
def serving() -> Iterator[None]:
    """While this process serves; any number may. Raises InUseError while the database is being replaced."""
    if connection.vendor == "sqlite":
        with _locked(fcntl.LOCK_SH, RESTORED):
            yield
        return
    with present(CLAIMS[connection.vendor].to_serve) as presence:
        if presence.has_claim is False:
            raise InUseError(RESTORED)
        yield


@contextmanager
def counting() -> Iterator[None]:
    """While this process serves. That another one counts limits for itself on the same SQLite database, as
    this one does, is logged; of other databases it cannot be seen.
    """
    with ExitStack() as stack:
        if connection.vendor == "sqlite" and not settings.REDIS_URL:
            try:
                stack.enter_context(_locked(fcntl.LOCK_EX, TWO_COUNT, suffix=".counting"))
            except InUseError as problem:
                log.warning("limits are counted twice", problem=str(problem))
        yield


@contextmanager
def alone() -> Iterator[None]:
    """While the database is replaced. Raises InUseError while somebody serves."""
    if connection.vendor == "sqlite":
        with _locked(fcntl.LOCK_EX, "A server is running on this database. Stop it first."):
            yield
        return
    claims = CLAIMS[connection.vendor]
    with present(claims.to_replace) as presence:
        if not presence.has_claim:
            raise InUseError(
                "A server is running on this database, or it is being restored. Stop that first."
            )
        others = count_others(presence.number)
        if others:
            raise InUseError(f"{others} other sessions use this database. Stop the servers first.")
        yield


@contextmanager
def _locked(kind: int, refusal: str, *, suffix: str = ".lock") -> Iterator[None]:
    database = Path(connection.settings_dict["NAME"])
    path = database.with_name(f"{database.name}{suffix}")
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    except OSError as problem:
        raise InUseError(f"{path}: {problem.strerror}.") from None
    try:
        own_like(descriptor, database)
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUseError(refusal) from None
        yield
    finally:
        os.close(descriptor)

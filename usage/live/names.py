"""What the tokens and projects of requests are called: a request says only which ones they are."""

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from django.db import Error

from tokens.models import AccessToken

REREAD_SECONDS = 30.0
"""Names can be changed."""
AWAY_SECONDS = 5.0
"""How long a database that has failed is not asked again."""
MAX_NAMES = 10_000

log = structlog.get_logger("usage")


class Names(NamedTuple):
    project: str = ""
    token: str = ""
    display: str = ""
    """What may be shown of the token."""


NAMELESS = Names()


class NameBook:
    def __init__(self, in_thread: Callable[..., Awaitable[Any]]) -> None:
        """`in_thread` runs what asks the database."""
        self._in_thread = in_thread
        self._names: dict[UUID, Names] = {}
        self._reread_at = time.monotonic() + REREAD_SECONDS
        self._ask_at = 0.0

    def __getitem__(self, token_id: UUID | None) -> Names:
        return NAMELESS if token_id is None else self._names.get(token_id, NAMELESS)

    async def learn(self, token_ids: Iterable[UUID | None]) -> None:
        """Look up those that are not known. While the database is away they stay without names."""
        now = time.monotonic()
        if len(self._names) > MAX_NAMES or now > self._reread_at:
            self._names = {}
            self._reread_at = now + REREAD_SECONDS
        unknown = {token_id for token_id in token_ids if token_id is not None} - self._names.keys()
        if not unknown or now < self._ask_at:
            return
        try:
            self._names |= await self._in_thread(load_names, unknown)
        except Error as problem:
            log.error("the names of tokens cannot be read", error=str(problem))
            self._ask_at = time.monotonic() + AWAY_SECONDS


def load_names(token_ids: set[UUID]) -> dict[UUID, Names]:
    """Raises django.db.Error."""
    tokens = AccessToken.objects.filter(id__in=token_ids).select_related("project")
    return {
        token.id: Names(token.project.name, token.name, token.display)
        for token in tokens.only("name", "prefix", "last_four", "project__name")
    }

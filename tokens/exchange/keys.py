"""The keys of issuers, in memory: read when they are needed, and anew when a JWT names one that is not there.

Made-up key ids make nobody fetch more often than each LEAST_SECONDS. While an issuer is down, what it has
said last holds for STALE_SECONDS.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from tokens.exchange.errors import IssuerUnavailableError, RefusedError
from tokens.exchange.jwks import KeySet, VerificationKey

FRESH_SECONDS = 3600.0
STALE_SECONDS = 24 * 3600.0
LEAST_SECONDS = 15.0

log = structlog.get_logger("tokens")


@dataclass(slots=True)
class _Known:
    keys: KeySet = field(default_factory=KeySet)
    read_at: float = float("-inf")
    asked_at: float = float("-inf")
    asking: asyncio.Task[None] | None = None
    problem: IssuerUnavailableError | None = None
    """What came of the last attempt to read them, if that has failed."""


class IssuerKeys:
    """On one event loop. Its issuers are those that trust rules name: they are few."""

    def __init__(
        self, fetch: Callable[[str], Awaitable[KeySet]], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`fetch` may raise IssuerUnavailableError."""
        self._fetch = fetch
        self._clock = clock
        self._known: dict[str, _Known] = {}

    async def find(self, issuer: str, key_id: str) -> VerificationKey:
        """Raises RefusedError where the issuer has no such key, and IssuerUnavailableError."""
        known = self._known.setdefault(issuer, _Known())
        if self._is_due(known, key_id):
            known.asked_at = self._clock()
            known.asking = asyncio.create_task(self._read(issuer, known))
        if known.asking is not None and self._key(known, key_id) is None:
            await asyncio.shield(known.asking)  # others wait for it too
        key = self._key(known, key_id)
        if key is not None:
            return key
        if known.problem is not None:
            raise IssuerUnavailableError(str(known.problem))
        raise RefusedError(
            "The token's issuer has no such key, or has it since a moment only. Try again soon."
        )

    def _is_due(self, known: _Known, key_id: str) -> bool:
        now = self._clock()
        if known.asking is not None or now - known.asked_at < LEAST_SECONDS:
            return False
        return now - known.read_at >= FRESH_SECONDS or known.keys.find(key_id) is None

    def _key(self, known: _Known, key_id: str) -> VerificationKey | None:
        is_stale = self._clock() - known.read_at >= STALE_SECONDS
        return None if is_stale else known.keys.find(key_id)

    async def _read(self, issuer: str, known: _Known) -> None:
        try:
            known.keys = await self._fetch(issuer)
            known.read_at, known.problem = self._clock(), None
        except IssuerUnavailableError as problem:
            known.problem = problem
            log.warning("the keys of an issuer cannot be read", issuer=issuer, reason=str(problem))
        finally:
            known.asking = None

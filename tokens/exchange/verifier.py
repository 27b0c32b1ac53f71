"""From a JWT's text to a verified assertion. Only issuers that trust rules name are ever asked for
their keys.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from tokens.exchange.assertion import Assertion, read_origin, verify
from tokens.exchange.errors import RefusedError
from tokens.exchange.keys import IssuerKeys

REMEMBERED_SECONDS = 10.0
"""An issuer that no rule names any more may still be asked for so long; it helps nobody to a token."""
LEAST_SECONDS = 0.2
"""Between two looks for issuers that are not known: all who wait for the next one share it."""


class Verifier:
    """On one event loop."""

    def __init__(
        self,
        load_issuers: Callable[[], Awaitable[frozenset[str]]],
        keys: IssuerKeys,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`load_issuers`: those that active rules name. It may raise what it likes."""
        self._load_issuers = load_issuers
        self._keys = keys
        self._clock = clock
        self._issuers: frozenset[str] = frozenset()
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def verify(self, text: str) -> Assertion:
        """Raises RefusedError, IssuerUnavailableError, and what `load_issuers` raises."""
        origin = read_origin(text)
        if not await self._is_trusted(origin.issuer):
            raise RefusedError("No trust rule names the subject token's issuer.", "its issuer is not trusted")
        return verify(text, origin, await self._keys.find(origin.issuer, origin.key_id))

    async def _is_trusted(self, issuer: str) -> bool:
        asked_at = self._clock()
        if issuer in self._issuers and asked_at - self._read_at < REMEMBERED_SECONDS:
            return True
        async with self._reading:
            if self._read_at < asked_at:  # else somebody has looked meanwhile
                await asyncio.sleep(self._read_at + LEAST_SECONDS - asked_at)
                began = self._clock()
                self._issuers = await self._load_issuers()
                self._read_at = began
        return issuer in self._issuers

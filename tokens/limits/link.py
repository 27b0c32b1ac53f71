"""The way to Redis: runs the scripts, maps every error once, and knows when Redis is away.

Then nobody waits for it: who asks is told so at once, and every second one probe looks whether it is back.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tokens.limits.periods import Periods
from tokens.limits.values import Counters, LimitsUnavailableError
from tokens.limits.verdict import Waits

PREFIX = "llm-proxy"
PROBE_SECONDS = 1.0
ERRORS = (RedisError, OSError, TimeoutError)
SCRIPTS = Path(__file__).parent / "scripts"

log = structlog.get_logger("tokens")


def probe_key(prefix: str = PREFIX) -> str:
    """Is written to see that Redis is of use: a replica, or a server without memory, answers and is not."""
    return f"{{{prefix}}}:probe"


class RedisAwayError(LimitsUnavailableError):
    """Redis is known to be away, and was not asked."""


class NoAnswerError(LimitsUnavailableError):
    """Redis was asked and has not answered: perhaps it has done what it was asked for."""


class Renewed(msgspec.Struct):
    reserved_microusd: int
    is_over: bool
    born: tuple[str, ...]


class Answer(msgspec.Struct):
    """Of any script; each leaves out the fields that it has no use for."""

    now_ms: int
    periods: Periods
    cold: tuple[UUID, ...] = ()
    """Subjects that must be built from the ledger first."""
    is_admitted: bool = False
    counters: tuple[Counters, ...] = ()
    waits: tuple[Waits, ...] = ()
    born: tuple[str, ...] = ()
    model_tokens: tuple[int, ...] = ()
    renewed: tuple[Renewed, ...] = ()
    swept: int = 0
    settled_at_ms: int = 0
    is_built: bool = False


class RedisLink:
    def __init__(self, redis: Redis, *, prefix: str, clock: Callable[[], float] | None) -> None:
        """`clock` takes the place of Redis's own."""
        self._redis = redis
        self._prefix = f"{{{prefix}}}"
        self._probe_key = probe_key(prefix)
        self._clock = clock
        self._scripts = {name: redis.register_script(text) for name, text in _read_scripts().items()}
        self._connections = asyncio.Semaphore(redis.connection_pool.max_connections)
        self._probe: asyncio.Task[None] | None = None
        self._probed_at = -PROBE_SECONDS
        self.is_away = False
        self.outages = 0

    async def ask(self, script: str, request: dict[str, Any]) -> Answer:
        """Raises RedisAwayError and NoAnswerError."""
        self._refuse_if_away()
        if self._clock is not None:
            request["now_ms"] = int(self._clock() * 1000)
        packed = _encoder.encode(request)
        async with self._connections:
            self._refuse_if_away()
            try:
                answer = await self._scripts[script]([self._prefix], [packed])
            except ERRORS as problem:
                self._lose(problem)
                raise NoAnswerError from problem
        return _decoder.decode(answer)

    async def aclose(self) -> None:
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.gather(self._probe, return_exceptions=True)
        await self._redis.aclose()

    def _refuse_if_away(self) -> None:
        if self.is_away:
            self._probe_now_and_then()
            raise RedisAwayError

    def _lose(self, problem: Exception) -> None:
        if not self.is_away:
            self.is_away = True
            self.outages += 1
            log.warning("Redis does not answer", error=f"{type(problem).__name__}: {problem}")
        self._probe_now_and_then()

    def _probe_now_and_then(self) -> None:
        now = time.monotonic()
        if now >= self._probed_at + PROBE_SECONDS and (self._probe is None or self._probe.done()):
            self._probed_at = now
            self._probe = asyncio.create_task(self._look())

    async def _look(self) -> None:
        async with self._connections:
            try:
                await self._redis.set(self._probe_key, b"", px=1000)
            except ERRORS:
                return
        self.is_away = False
        log.info("Redis answers again")


def _read_scripts() -> dict[str, bytes]:
    common = (SCRIPTS / "common.lua").read_bytes()
    return {file.stem: common + file.read_bytes() for file in SCRIPTS.glob("*.lua") if file.stem != "common"}


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Answer)

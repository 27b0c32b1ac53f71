"""The wire between processes: a channel of Redis's publish and subscribe.

Redis knows who has subscribed, so nobody has to say that they watch, nor can a process that dies leave word
that it does: each process asks once a second. Nothing is sent while there is nobody, and nothing is kept.
"""

import asyncio
from contextlib import suppress

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from usage.live.row import Batch, decode, encode
from usage.live.wire import End

LOOK_SECONDS = 1.0
QUIET_SECONDS = 60.0
"""How long one wait for a batch takes, when there is none."""
ERRORS = (RedisError, OSError, TimeoutError)

log = structlog.get_logger("usage")


class RedisWire:
    _end: End
    _looking: asyncio.Task[None]

    def __init__(self, redis: Redis, *, channel: str) -> None:
        """`redis`: without retries, with short timeouts, and giving bytes; it is closed with the wire."""
        self._redis = redis
        self._channel = channel
        self._lost = 0
        self._sending: asyncio.Task[None] | None = None
        self._receiving: asyncio.Task[None] | None = None
        self._is_wanted = False
        self._look_now = asyncio.Event()

    def start(self, end: End) -> None:
        self._end = end
        self._looking = asyncio.create_task(self._look_again_and_again())

    async def stop(self) -> None:
        tasks = [task for task in (self._looking, self._receiving, self._sending) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=1)
        await self._redis.aclose()

    def listen(self, is_wanted: bool) -> None:
        if is_wanted != self._is_wanted:
            self._is_wanted = is_wanted
            self._look_now.set()

    def send(self, batch: Batch) -> None:
        if self._sending is not None and not self._sending.done():
            self._lost += len(batch)
            return
        batch = Batch(batch.rows, batch.lost + self._lost)
        self._lost = 0
        self._sending = asyncio.create_task(self._publish(batch))

    async def _publish(self, batch: Batch) -> None:
        try:
            await self._redis.publish(self._channel, encode(batch))
        except ERRORS:  # told by `_look`
            self._lost += len(batch)

    async def _look_again_and_again(self) -> None:
        while True:
            await self._look()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._look_now.wait()
            self._look_now.clear()

    async def _look(self) -> None:
        """Whether Redis is there, whether anybody watches, and whether we listen if somebody does here."""
        try:
            self._listen_as_wanted()
            ((_, listeners),) = await self._redis.pubsub_numsub(self._channel)
        except ERRORS:
            self._stop_listening()
            self._end.set_watched(False)
            self._end.set_away(True)
            return
        self._end.set_away(False)
        if not self._is_wanted and not listeners:
            self._lost = 0
        self._end.set_watched(self._is_wanted or listeners > 0)

    def _listen_as_wanted(self) -> None:
        if not self._is_wanted:
            self._stop_listening()
        elif self._receiving is None or self._receiving.done():
            self._receiving = asyncio.create_task(self._receive())

    def _stop_listening(self) -> None:
        if self._receiving is not None:
            self._receiving.cancel()
            self._receiving = None

    async def _receive(self) -> None:
        """Until Redis breaks off: then the next look begins anew."""
        with suppress(*ERRORS):
            async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
                await channel.subscribe(self._channel)
                while True:
                    message = await channel.get_message(timeout=QUIET_SECONDS)
                    if message is not None:
                        self._take(message["data"])

    def _take(self, data: bytes) -> None:
        try:
            batch = decode(data)
        except msgspec.DecodeError:
            log.warning("a process of another version tells of requests in a way that is not understood")
            return
        self._end.arrived(batch)

"""Somebody sends unknown tokens, hundreds a second: others are served, behind the same address too."""

import asyncio
import time
from contextlib import suppress

import aiohttp

from tests.live import LiveProxy
from tests.sockets import new_token, talking
from tokens.format import generate

GUESSES_PER_SECOND = 500
AT_ONCE = 100
MAX_SECONDS = 4.0
"""Of an answer to a good token, on a machine that is busy with the guesses themselves."""


class Guesser:
    """Sends well-formed tokens that were never issued."""

    def __init__(self, live: LiveProxy) -> None:
        self.answers: dict[int, int] = {}
        self._url = f"{live.base_url}/models"
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE)) as session,
            asyncio.TaskGroup() as tasks,
        ):
            began = time.monotonic()
            for number in range(1_000_000):
                await asyncio.sleep(max(0, began + number / GUESSES_PER_SECOND - time.monotonic()))
                await self._slots.acquire()
                tasks.create_task(self._guess(session))

    async def _guess(self, session: aiohttp.ClientSession) -> None:
        try:
            status, _ = await ask(session, self._url, generate()[1])
        finally:
            self._slots.release()
        self.answers[status] = self.answers.get(status, 0) + 1


async def ask(session: aiohttp.ClientSession, url: str, plain: str) -> tuple[int, float]:
    """The status, and how long it took."""
    began = time.monotonic()
    async with session.get(url, headers={"authorization": f"Bearer {plain}"}) as answer:
        await answer.read()
    return answer.status, time.monotonic() - began


@talking
async def _guessing(live: LiveProxy) -> None:
    url = f"{live.base_url}/models"
    _, known = await new_token()
    fresh = [(await new_token())[1] for _ in range(5)]
    _, elsewhere = await new_token()
    elsewhere_connector = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
    async with (
        aiohttp.ClientSession() as session,
        aiohttp.ClientSession(connector=elsewhere_connector) as other_session,
    ):
        assert (await ask(session, url, known))[0] == 200
        guesser = Guesser(live)
        guessing = asyncio.create_task(guesser.run())
        await asyncio.sleep(1)
        for plain in fresh:
            status, seconds = await ask(session, url, plain)
            assert (status, seconds < MAX_SECONDS) == (200, True), seconds
            status, seconds = await ask(session, url, known)
            assert (status, seconds < MAX_SECONDS) == (200, True), seconds
        status, seconds = await ask(other_session, url, elsewhere)
        assert (status, seconds < MAX_SECONDS) == (200, True), seconds
        guessing.cancel()
        with suppress(asyncio.CancelledError):
            await guessing

    assert guesser.answers[401] > 100
    assert guesser.answers.keys() <= {401, 429}
    assert "many unknown access tokens are sent" in live.log()
    assert "Traceback" not in live.log()


def test_guesses_hold_up_nobody(private_live: LiveProxy) -> None:
    _guessing(private_live)

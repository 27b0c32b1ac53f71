"""What is asked of the database, and of one that has fallen silent."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from proxy import database as module
from proxy.database import Database
from tests.tokens.limits.world import token
from tokens.directory import DirectoryUnavailableError
from tokens.limits.values import Subject, Tally
from tokens.reach import Reach
from usage.price_book import PriceBook


@pytest.fixture
def _silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever is asked, it says nothing until the test is over."""
    is_over = threading.Event()
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.01)
    for asked in ("known_digests", "load_origins"):
        monkeypatch.setattr(module, asked, lambda *_: is_over.wait(30))
    yield
    is_over.set()


@pytest.mark.usefixtures("_silent")
async def test_who_waits_in_line_with_an_unknown_token_does_not_wait_for_a_silent_database() -> None:
    reach = Reach(grace_seconds=0)
    database = Database(reach, PriceBook())
    with pytest.raises(DirectoryUnavailableError):
        await asyncio.wait_for(database.known_digests(["a"]), 5)

    assert reach.is_away
    database.close()


@pytest.mark.usefixtures("_silent")
async def test_a_preflight_does_not_wait_for_a_silent_database() -> None:
    database = Database(Reach(grace_seconds=0), PriceBook())

    assert await asyncio.wait_for(database.load_origins(), 5) is None
    database.close()


async def test_a_tally_is_as_of_the_instant_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def tally_of_one_microusd_a_millisecond(subject: Subject, at_ms: int) -> Tally:
        return Tally(spent=(at_ms, 0, 0, 0))

    monkeypatch.setattr(module, "load_tally", tally_of_one_microusd_a_millisecond)
    database = Database(Reach(grace_seconds=0), PriceBook())
    database.is_adopted.set()

    assert (await database.load_tally(token(), 86_400_000)).spent[0] == 86_400_000
    database.close()

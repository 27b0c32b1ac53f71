"""From the data plane to who watches, within one process."""

import asyncio
import json
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from django.db import OperationalError
from uuid_utils.compat import uuid7

from tests.usage.live.rows import entry, row, told
from usage.live.audience import MAX_BATCHES, MAX_VIEWERS, Audience, TooManyViewersError
from usage.live.feed import MAX_BATCH, Feed
from usage.live.names import MAX_NAMES, NameBook, Names
from usage.live.row import MAX_PATH, Batch, decode, encode
from usage.live.viewer import Viewer
from usage.live.wire import LocalWire


class Database:
    """What stands in for it here: all tokens have a name."""

    def __init__(self) -> None:
        self.asked: list[set[UUID]] = []
        self.is_away = False
        self.answers = asyncio.Event()
        self.answers.set()

    async def in_thread(self, load: object, token_ids: set[UUID]) -> dict[UUID, Names]:
        self.asked.append(token_ids)
        await self.answers.wait()
        if self.is_away:
            raise OperationalError("away")
        return {token_id: Names("alpha", "nightly", "sk-wt-…wXyZ") for token_id in token_ids}


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
async def feed(database: Database) -> AsyncIterator[Feed]:
    feed = Feed(LocalWire(), Audience(NameBook(database.in_thread)), list)
    feed.start()
    yield feed
    await feed.stop()


async def test_nobody_is_told_of_while_nobody_watches(feed: Feed) -> None:
    assert not feed.is_watched
    viewer = Viewer(None)
    feed.enter(viewer)
    assert feed.is_watched
    feed.leave(viewer)
    assert not feed.is_watched


async def test_what_ends_is_shown_with_names_and_without_what_is_nobodys_business(feed: Feed) -> None:
    viewer = Viewer(None)
    feed.enter(viewer)
    feed.tell(
        entry(
            token_id=uuid7(),
            project_id=uuid7(),
            path="/v1/" + "x" * 1000,
            status=200,
            outcome="completed",
            cost_microusd=1_500,
            upstream_request_id="req_secret",
        )
    )
    (request,) = (await told(viewer))["rows"]
    assert request["project"] == "alpha"
    assert (request["token"], request["display"]) == ("nightly", "sk-wt-…wXyZ")
    assert request["usd"] == "0.0015"
    assert len(request["path"]) == MAX_PATH
    assert "req_secret" not in json.dumps(request)


async def test_the_database_is_asked_once_for_each_token(feed: Feed, database: Database) -> None:
    viewer, token_id = Viewer(None), uuid7()
    feed.enter(viewer)
    for _ in range(2):
        feed.tell(entry(token_id=token_id))
        feed.tell(entry(token_id=token_id))
        feed.tell(entry())
        assert len((await told(viewer))["rows"]) == 3
    assert database.asked == [{token_id}]


async def test_rows_are_shown_without_names_while_the_database_is_away(
    feed: Feed, database: Database
) -> None:
    database.is_away = True
    viewer = Viewer(None)
    feed.enter(viewer)
    for _ in range(2):
        feed.tell(entry(token_id=uuid7()))
        assert (await told(viewer))["rows"][0]["token"] == ""
    assert len(database.asked) == 1  # it is left alone for a while


async def test_more_than_a_batch_takes_is_counted(feed: Feed) -> None:
    viewer = Viewer(None)
    feed.enter(viewer)
    for _ in range(MAX_BATCH + 5):
        feed.tell(entry())
    seen = missed = 0
    while seen + missed < MAX_BATCH + 5:
        message = await told(viewer)
        seen, missed = seen + len(message["rows"]), missed + message["missed"]
    assert missed >= 5


async def test_batches_that_wait_for_a_slow_database_are_bounded(database: Database) -> None:
    audience, viewer = Audience(NameBook(database.in_thread)), Viewer(None)
    audience.enter(viewer)
    audience.start()
    database.answers.clear()
    audience.see(Batch([row(token_id=uuid7())]))
    while not database.asked:
        await asyncio.sleep(0)
    for _ in range(MAX_BATCHES + 3):
        audience.see(Batch([row()]))
    database.answers.set()
    messages = [await told(viewer)]
    while sum(len(message["rows"]) for message in messages) < MAX_BATCHES + 1:
        messages.append(await told(viewer))
    assert sum(message["missed"] for message in messages) == 3
    await audience.stop()


async def test_a_process_takes_a_bounded_number_of_viewers(feed: Feed) -> None:
    for _ in range(MAX_VIEWERS):
        feed.enter(Viewer(None))
    with pytest.raises(TooManyViewersError):
        feed.enter(Viewer(None))


async def test_names_are_not_remembered_without_bound(database: Database) -> None:
    names = NameBook(database.in_thread)
    await names.learn(uuid7() for _ in range(MAX_NAMES + 1))
    await names.learn([token_id := uuid7()])
    assert names[token_id].project == "alpha"
    assert len(names._names) == 1


def test_a_batch_survives_the_way_to_another_process() -> None:
    batch = Batch([row(token_id=uuid7(), status=200, cost_microusd=None)], lost=3)
    assert decode(encode(batch)) == batch
    assert len(batch) == 4

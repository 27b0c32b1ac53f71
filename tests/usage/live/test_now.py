"""What runs now, as pages are told of it."""

import asyncio
import json
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from tests.usage.live.rows import entry, row, shown, told
from usage.entry import UsageEntry
from usage.live import feed as feed_module
from usage.live import now as now_module
from usage.live.audience import Audience
from usage.live.feed import Feed
from usage.live.names import NameBook, Names
from usage.live.now import Now
from usage.live.row import MAX_RUNNING, Batch, Running, decode, encode
from usage.live.viewer import Viewer
from usage.live.wire import LocalWire
from usage.live.wish import Filter, Wish

MINE, OTHERS = uuid7(), uuid7()
ALL = Filter()


@pytest.fixture
def now() -> Now:
    """Two processes: one with two of mine, the other with one of mine, and more of others than it tells."""
    now = Now()
    first = [shown("a", project_id=MINE, started_at=1.0), shown("c", project_id=MINE, started_at=3.0)]
    second = [shown("b", project_id=MINE, started_at=2.0, model="gpt-4o"), shown("d", project_id=OTHERS)]
    now.hear(uuid7(), {MINE: 2}, first)
    now.hear(uuid7(), {MINE: 1, OTHERS: 100}, second)
    return now


def seen(now: Now, project_ids: set[UUID] | None, wanted: Filter) -> tuple[int, bool, list[str]]:
    found = now.seen_by(project_ids, wanted)
    assert found is not None
    return found.count, found.is_exact, [json.loads(bytes(each)) for each in found.rows]


def test_what_all_processes_run_is_counted_and_shown_as_it_began(now: Now) -> None:
    assert seen(now, None, ALL) == (103, True, ["d", "a", "b", "c"])


def test_members_are_told_of_their_projects_only(now: Now) -> None:
    assert seen(now, {MINE}, ALL) == (3, True, ["a", "b", "c"])
    assert seen(now, set(), ALL) == (0, True, [])


def test_filters_count_what_is_told_and_say_whether_there_may_be_more(now: Now) -> None:
    assert seen(now, {MINE}, Filter(model="gpt")) == (1, True, ["b"])
    assert seen(now, None, Filter(model="gpt")) == (1, False, ["b"])


def test_what_runs_has_no_status_or_outcome_to_be_filtered_by(now: Now) -> None:
    assert seen(now, {MINE}, Filter(status="4", outcome="refused"))[0] == 3


def test_a_process_that_says_nothing_any_more_is_forgotten(now: Now, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(now_module, "FORGET_SECONDS", -1.0)
    now.hear(process := uuid7(), {}, [])
    monkeypatch.undo()
    now.hear(uuid7(), {}, [])
    assert process not in now._processes
    assert len(now._processes) == 3


def test_rows_are_bounded_and_counts_are_whole_on_the_way_to_another_process() -> None:
    many = [entry(project_id=MINE, token_id=uuid7()) for _ in range(MAX_RUNNING + 7)]
    running = Running.of(uuid7(), many)
    assert len(running.rows) == MAX_RUNNING
    assert running.counts == {MINE: MAX_RUNNING + 7}
    batch = Batch([row()], running=running)
    assert decode(encode(batch)) == batch


async def named(load: object, token_ids: set[UUID]) -> dict[UUID, Names]:
    return {token_id: Names("alpha", "nightly", "sk-wt-…wXyZ") for token_id in token_ids}


async def test_a_page_is_told_what_runs_when_that_changes_and_only_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feed_module, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(feed_module, "BATCH_SECONDS", 0.01)
    running: list[UsageEntry] = [entry(project_id=MINE, token_id=uuid7(), model="gpt-4o")]
    feed, viewer = Feed(LocalWire(), Audience(NameBook(named)), lambda: running), Viewer(None)
    feed.start()
    feed.enter(viewer)
    first = (await told(viewer))["running"]
    assert (first["count"], first["is_exact"], len(first["rows"])) == (1, True, 1)
    assert (first["rows"][0]["project"], first["rows"][0]["model"]) == ("alpha", "gpt-4o")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(told(viewer), 0.1)
    viewer.wants(Wish(Filter(project="beta"), filter_number=1))
    assert (await told(viewer))["running"]["count"] == 0
    viewer.wants(Wish(filter_number=2))
    assert (await told(viewer))["running"]["count"] == 1
    running.clear()
    assert (await told(viewer))["running"]["count"] == 0
    feed.leave(viewer)
    await feed.stop()


async def test_nobody_looks_at_what_runs_while_nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(feed_module, "BATCH_SECONDS", 0.01)
    looks: list[None] = []

    def look() -> list[UsageEntry]:
        looks.append(None)
        return []

    feed, viewer = Feed(LocalWire(), Audience(NameBook(named)), look), Viewer(None)
    feed.start()
    await asyncio.sleep(0.05)
    assert looks == []
    feed.enter(viewer)
    await told(viewer)
    feed.leave(viewer)
    await asyncio.sleep(0.05)
    count = len(looks)
    assert count > 0
    await asyncio.sleep(0.05)
    assert len(looks) == count
    await feed.stop()

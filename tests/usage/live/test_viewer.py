"""One page that watches: what it is offered, what waits for it, and what it misses."""

import asyncio

import pytest
from uuid_utils.compat import uuid7

from tests.usage.live.rows import shown, told
from usage.live.viewer import MAX_ROWS, MAX_WAITING, Viewer
from usage.live.wish import Filter, Wish


async def test_rows_come_in_the_order_in_which_they_ended_in_bounded_messages() -> None:
    viewer = Viewer(None)
    for number in range(MAX_ROWS + 1):
        viewer.offer(shown(f"{number}"))
    first, second = await told(viewer), await told(viewer)
    assert first["rows"] == [f"{number}" for number in range(MAX_ROWS)]
    assert second["rows"] == [f"{MAX_ROWS}"]
    assert first["missed"] == second["missed"] == 0


async def test_a_page_that_reads_nothing_misses_the_oldest_and_is_told_how_many_once() -> None:
    viewer = Viewer(None)
    for number in range(MAX_WAITING + 30):
        viewer.offer(shown(f"{number}"))
    viewer.lose(4)
    first = await told(viewer)
    assert first["missed"] == 34
    assert first["rows"][0] == "30"
    assert (await told(viewer))["missed"] == 0


async def test_a_paused_page_is_told_nothing_and_then_what_waits() -> None:
    viewer = Viewer(None)
    viewer.wants(Wish(is_paused=True, filter_number=3))
    assert (await told(viewer))["filter_number"] == 3
    for number in range(MAX_WAITING + 1):
        viewer.offer(shown(f"{number}"))
    assert await says_nothing(viewer)
    viewer.wants(Wish())
    message = await told(viewer)
    assert (message["rows"][0], message["missed"]) == ("1", 1)


async def test_a_paused_page_is_told_that_the_way_is_broken_and_no_rows() -> None:
    viewer = Viewer(None)
    viewer.wants(Wish(is_paused=True))
    await told(viewer)
    viewer.offer(shown("waits"))
    viewer.set_away(True)
    nothing = {"filter_number": 0, "rows": [], "missed": 0, "running": None}
    assert await told(viewer) == {**nothing, "is_away": True}
    assert await says_nothing(viewer)


async def test_only_rows_of_its_projects_are_offered_and_none_without_a_project() -> None:
    mine = uuid7()
    member, everyone = Viewer({mine}), Viewer(None)
    for viewer in (member, everyone):
        viewer.offer(shown("mine", project_id=mine))
        viewer.offer(shown("other's", project_id=uuid7()))
        viewer.offer(shown("nobody's"))
    assert (await told(member))["rows"] == ["mine"]
    assert (await told(everyone))["rows"] == ["mine", "other's", "nobody's"]


async def test_what_waits_is_forgotten_when_its_project_may_not_be_seen_any_more() -> None:
    lost, kept = uuid7(), uuid7()
    viewer = Viewer({lost, kept})
    viewer.offer(shown("lost", project_id=lost))
    viewer.offer(shown("kept", project_id=kept))
    viewer.may_see({kept})
    assert (await told(viewer))["rows"] == ["kept"]


async def test_what_waits_is_sifted_by_a_new_filter_and_messages_say_which_one_it_was() -> None:
    viewer = Viewer(None)
    viewer.offer(shown("a", model="gpt-4o"))
    viewer.offer(shown("b", model="o3"))
    viewer.wants(Wish(Filter(model="O3"), filter_number=7))
    message = await told(viewer)
    assert (message["rows"], message["filter_number"]) == (["b"], 7)


async def test_a_wish_is_answered_even_where_nothing_waits() -> None:
    viewer = Viewer(None)
    viewer.wants(Wish(filter_number=2))
    assert (await told(viewer))["filter_number"] == 2
    assert await says_nothing(viewer)


async def says_nothing(viewer: Viewer) -> bool:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await viewer.next()
    return True

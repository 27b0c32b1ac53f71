"""Rows of the feed for tests."""

from typing import Any

import msgspec
from uuid_utils.compat import uuid7

from usage.entry import UsageEntry
from usage.live.names import NAMELESS, Names
from usage.live.row import LiveRow
from usage.live.shown import Shown
from usage.live.viewer import Viewer


def entry(**fields: Any) -> UsageEntry:
    values = {"id": uuid7(), "started_at": 0.0, "method": "POST", "path": "/v1/chat/completions"}
    return UsageEntry(**(values | fields))


def row(**fields: Any) -> LiveRow:
    return LiveRow.of(entry(**fields))


def shown(name: str = "", names: Names = NAMELESS, **fields: Any) -> Shown:
    """`name` is what the page would get of it."""
    return Shown(row(**fields), names, msgspec.Raw(msgspec.json.encode(name)))


async def told(viewer: Viewer) -> Any:
    return msgspec.json.decode(await viewer.next())

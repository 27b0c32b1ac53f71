"""The feed that the settings ask for."""

from collections.abc import Awaitable, Callable
from typing import Any

from django.conf import settings
from django.utils.crypto import salted_hmac

from tokens.limits.opening import connect
from usage.entry import UsageEntry
from usage.live.audience import Audience
from usage.live.feed import Feed
from usage.live.names import NameBook
from usage.live.redis_wire import RedisWire
from usage.live.wire import LocalWire, Wire

MAX_CONNECTIONS = 4
"""One to ask, one to send, one to receive; and one of them may just be closing."""


def open_feed(in_thread: Callable[..., Awaitable[Any]], running: Callable[[], list[UsageEntry]]) -> Feed:
    """Within this process, or among all that share a REDIS_URL. `in_thread` runs what asks the database,
    `running` tells what runs here.
    """
    wire: Wire = LocalWire()
    if settings.REDIS_URL:
        wire = RedisWire(connect(MAX_CONNECTIONS), channel=_channel())
    return Feed(wire, Audience(NameBook(in_thread)), running)


def _channel() -> str:
    """One for each installation: a Redis's channels are the same in all of its databases."""
    return f"llm-proxy:live:{salted_hmac('usage.live', 'channel').hexdigest()[:16]}"

"""The wire between those who tell of requests and those who watch: within one process, or between many."""

from typing import Protocol

from usage.live.row import Batch


class End(Protocol):
    """This process's end of the wire."""

    def arrived(self, batch: Batch) -> None: ...

    def set_watched(self, is_watched: bool) -> None:
        """Whether somebody watches, in any process."""
        ...

    def set_away(self, is_away: bool) -> None:
        """Whether nothing can pass now."""
        ...


class Wire(Protocol):
    """Used on the event loop; none of these waits, but for `stop`."""

    def start(self, end: End) -> None: ...

    async def stop(self) -> None: ...

    def listen(self, is_wanted: bool) -> None:
        """Whether somebody watches in this process."""
        ...

    def send(self, batch: Batch) -> None:
        """To all who watch. What cannot be sent is lost, and counted in a later batch."""
        ...


class LocalWire:
    """For one process."""

    _end: End

    def start(self, end: End) -> None:
        self._end = end

    async def stop(self) -> None:
        pass

    def listen(self, is_wanted: bool) -> None:
        self._end.set_watched(is_wanted)

    def send(self, batch: Batch) -> None:
        self._end.arrived(batch)

"""Where records wait for the database, in order: in memory, or in segment files."""

import copy
from collections import deque
from typing import Protocol

from usage.entry import UsageEntry


class Source(Protocol):
    """Where records wait, in order."""

    def peek(self, most: int) -> list[UsageEntry]: ...

    def take(self, count: int) -> None:
        """So many of those that were peeked are dealt with."""
        ...

    def reject(self) -> None:
        """The first of them is dealt with next, but could not be written."""
        ...


class OwnSource(Source, Protocol):
    """Where records of this process wait, which more are added to."""

    @property
    def pending(self) -> int: ...


class InMemory:
    def __init__(self) -> None:
        self._entries: deque[UsageEntry] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def pending(self) -> int:
        return len(self._entries)

    def append(self, entry: UsageEntry) -> None:
        self._entries.append(copy.copy(entry))  # its request may go on with it

    def peek(self, most: int) -> list[UsageEntry]:
        return [self._entries[i] for i in range(min(most, len(self._entries)))]

    def take(self, count: int) -> None:
        for _ in range(count):
            self._entries.popleft()

    def reject(self) -> None:
        pass  # it is in the log

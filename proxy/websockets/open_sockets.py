"""The WebSockets that are open in this process: how many there are, and to whom to say that it stops."""

from collections import Counter
from typing import Protocol
from uuid import UUID

from proxy.errors import RateLimitReached
from tokens.grant import Grant
from tokens.limits.verdict import RETRY_WHEN_RUNNING_MS


class Restartable(Protocol):
    def restart(self) -> None:
        """The server stops: end as soon as nothing is running."""
        ...


class OpenSockets:
    def __init__(self) -> None:
        self._open: dict[UUID, Restartable] = {}
        self._is_restarting = False
        self._by_subject: Counter[UUID] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    def enter(self, grant: Grant) -> None:
        """Count one in, before it is open. Raises RateLimitReached: a token, or a project, may have as many
        WebSockets open as it may have requests running.
        """
        for subject in grant.subjects:
            most = subject.limits.max_concurrent_requests
            if most is not None and self._by_subject[subject.id] >= most:
                raise RateLimitReached(
                    "requests",
                    f"The limit is {most} concurrent requests, and so many WebSockets are open.",
                    retry_after_ms=RETRY_WHEN_RUNNING_MS,
                )
        for subject in grant.subjects:
            self._by_subject[subject.id] += 1

    def leave(self, grant: Grant) -> None:
        """With the grant that it entered with."""
        self._by_subject -= Counter(subject.id for subject in grant.subjects)

    def add(self, socket_id: UUID, socket: Restartable) -> None:
        self._open[socket_id] = socket
        if self._is_restarting:
            socket.restart()

    def discard(self, socket_id: UUID) -> None:
        self._open.pop(socket_id, None)

    def restart(self) -> None:
        self._is_restarting = True
        for socket in list(self._open.values()):
            socket.restart()

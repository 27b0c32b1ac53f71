"""How much of the larger bodies that have to be seen is in memory: of all, and of each token and project.

What has come counts, not what was announced. So nobody is kept out by one who says much and sends little, nor
by one who sends much: each has a share.
"""

from collections import Counter
from uuid import UUID

from proxy.errors import RateLimitReached, ServiceUnavailable
from tokens.grant import Grant

MAX_HELD_BYTES = 256 * 1024 * 1024
"""Of all larger bodies that a process holds."""
UNCOUNTED_BYTES = 1024 * 1024
"""A body up to this size always finds room: there are no more of them than connections."""


class HeldBodies:
    def __init__(self, max_bytes: int = MAX_HELD_BYTES) -> None:
        self._max_bytes = self._left_bytes = max_bytes
        self._max_of_token = max_bytes // 4
        self._max_of_project = max_bytes // 2
        self._held: Counter[UUID] = Counter()
        """By token and by project."""

    def place_for(self, grant: Grant) -> "HeldBody":
        return HeldBody(self, grant.token_id, grant.project_id)

    def check(self, token_id: UUID, project_id: UUID, more_bytes: int) -> None:
        """Raises RateLimitReached where this token or project would have too much, ServiceUnavailable where
        there is no room for anybody.
        """
        if self._held[token_id] + more_bytes > self._max_of_token:
            raise _too_many("access token")
        if self._held[project_id] + more_bytes > self._max_of_project:
            raise _too_many("project")
        if more_bytes > self._left_bytes:
            raise ServiceUnavailable

    def has_to_spare(self, token_id: UUID, project_id: UUID, more_bytes: int) -> bool:
        """Whether half of every share then stays free for those that have to be seen."""
        return (
            self._held[token_id] + more_bytes <= self._max_of_token // 2
            and self._held[project_id] + more_bytes <= self._max_of_project // 2
            and more_bytes <= self._left_bytes - self._max_bytes // 2
        )

    def move(self, token_id: UUID, project_id: UUID, more_bytes: int) -> None:
        self._left_bytes -= more_bytes
        for owner in (token_id, project_id):
            self._held[owner] += more_bytes
            if not self._held[owner]:
                del self._held[owner]


class HeldBody:
    """One body, from its first byte to the end of its request. Whoever has one gives it back."""

    def __init__(self, held: HeldBodies, token_id: UUID, project_id: UUID) -> None:
        self._held = held
        self._owners = (token_id, project_id)
        self._bytes = 0

    def has_room_to_spare(self, size_bytes: int) -> bool:
        """For one that need not be held."""
        return size_bytes <= UNCOUNTED_BYTES or self._held.has_to_spare(
            *self._owners, size_bytes - self._bytes
        )

    def check(self, size_bytes: int) -> None:
        """Whether it could be so large now. Raises what `HeldBodies.check` does."""
        if size_bytes > UNCOUNTED_BYTES:
            self._held.check(*self._owners, size_bytes - self._bytes)

    def grow(self, size_bytes: int) -> None:
        """It is so large now, in all. Raises what `HeldBodies.check` does."""
        if size_bytes > max(UNCOUNTED_BYTES, self._bytes):
            self.check(size_bytes)
            self._held.move(*self._owners, size_bytes - self._bytes)
            self._bytes = size_bytes

    def give_back(self) -> None:
        if self._bytes:
            self._held.move(*self._owners, -self._bytes)
            self._bytes = 0


def _too_many(whose: str) -> RateLimitReached:
    return RateLimitReached(
        "requests",
        f"Too many large request bodies of this {whose} are in memory. Send fewer at a time, or again when "
        "one has been answered.",
        retry_after_ms=1000,
    )

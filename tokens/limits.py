"""How many requests each token has made, exact within one process. Used on its event loop only."""

from collections import OrderedDict
from uuid import UUID

from tokens.grant import Grant

MAX_PASSED_OVER = 8
"""Counters with a request under way that one step looks behind for some to forget."""


class RequestLimitReachedError(Exception):
    """The token's `max_requests` are used up."""


class _Counter:
    __slots__ = ("unwritten", "used")

    def __init__(self, used: int) -> None:
        self.used = used
        self.unwritten = 0


class RequestLimits:
    """While a token's counter is here, it is the truth; the database follows in batches.

    A counter may only be forgotten when nothing of it is unwritten: the next grant then carries its sum.
    `max_counters` must be well above the directory's size: a counter must outlive the grant it began with.
    """

    def __init__(self, max_counters: int) -> None:
        self._max_counters = max_counters
        self._counters: OrderedDict[UUID, _Counter] = OrderedDict()

    def acquire(self, grant: Grant) -> None:
        """Count one request, or raise RequestLimitReachedError. One step: nothing else runs in between."""
        counter = self._counters.get(grant.token_id)
        if counter is None:
            self._forget_oldest(room_for=1)
            counter = self._counters[grant.token_id] = _Counter(grant.request_count)
        else:
            self._counters.move_to_end(grant.token_id)
        if grant.max_requests is not None and counter.used >= grant.max_requests:
            raise RequestLimitReachedError
        counter.used += 1
        counter.unwritten += 1

    def written(self, counts: dict[UUID, int]) -> None:
        """The ledger has written these numbers of requests to the database."""
        for token_id, count in counts.items():
            counter = self._counters.get(token_id)
            if counter is not None:
                counter.unwritten -= count
        self._forget_oldest(room_for=0)

    def _forget_oldest(self, *, room_for: int) -> None:
        passed_over = 0
        while len(self._counters) + room_for > self._max_counters and passed_over < MAX_PASSED_OVER:
            token_id, counter = next(iter(self._counters.items()))
            if counter.unwritten:
                self._counters.move_to_end(token_id)
                passed_over += 1
            else:
                del self._counters[token_id]

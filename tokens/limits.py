"""How many requests each token has made, exact within one process. Used on its event loop only."""

from collections import OrderedDict
from uuid import UUID

from tokens.grant import Grant


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
            counter = self._counters[grant.token_id] = _Counter(grant.request_count)
            self._forget_oldest()
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
        self._forget_oldest()

    def _forget_oldest(self) -> None:
        while len(self._counters) > self._max_counters:
            token_id, counter = next(iter(self._counters.items()))
            if counter.unwritten:
                return  # the ledger will call `written` for it
            del self._counters[token_id]

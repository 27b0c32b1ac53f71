"""Counts each request at its end, in a few microseconds: a look-up or two, and additions in memory.

What clients and upstreams make up must not become labels: every label is of a set that we know, or is one of
the first so many.
"""

from bisect import bisect_left
from collections.abc import Callable
from http import HTTPStatus

from proxy.metrics.board import Board
from proxy.metrics.catalogue import (
    ERRORS,
    HISTOGRAMS,
    LATENCIES,
    LIMITS,
    MODEL_TOKENS,
    NONE,
    OTHER,
    OVERHEAD_SECONDS,
    REQUESTS,
    SECONDS,
    USAGE,
)
from tokens.limits.values import LimitName
from usage.entry import UsageEntry
from usage.outcomes import Outcome

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TURN"})
STATUSES = frozenset(HTTPStatus)
UNMEASURED = frozenset({Outcome.REFUSED, Outcome.UPSTREAM_FAILED})
"""What we answered ourselves says nothing of how long it takes."""
MAX_KNOWN = 4096
"""Where counts are is remembered by what requests say, which clients choose."""
MAX_LABEL = 64
"""Characters."""

_SUM = len(SECONDS) + 1
_FIRST_BYTE = _SUM + 1
_OVERHEAD = 2 * _FIRST_BYTE
_OVERHEAD_SUM = _OVERHEAD + len(OVERHEAD_SECONDS) + 1
_OUTPUT, _CACHED, _REASONING = map(MODEL_TOKENS.index, ("output", "cached", "reasoning"))
_SELDOM = [(index, f"{name}_tokens") for index, name in enumerate(MODEL_TOKENS) if index > _REASONING]
_COST = len(MODEL_TOKENS)
assert sum(len(bounds) + 2 for bounds in HISTOGRAMS.values()) == _OVERHEAD_SUM + 1
assert MODEL_TOKENS[0] == "input"


class Counts:
    def __init__(
        self, board: Board, family_of: Callable[[str], str], name_of: Callable[[str], str | None]
    ) -> None:
        """`family_of` an endpoint's path; `name_of` a model, under which it is known, or None."""
        self._board = board
        self._values = board.values
        self._family_of = family_of
        self._name_of = name_of
        self._places: dict[tuple[str, str, int | None, str], tuple[int, int]] = {}
        self._usage_places: dict[tuple[int, str], int] = {}
        for name in LimitName:
            board.place(LIMITS, (name.value,))

    def count(self, entry: UsageEntry) -> None:
        """A request that has ended. On the event loop."""
        values = self._values
        key = entry.endpoint, entry.method, entry.status, entry.outcome
        requests, latencies = self._places.get(key) or self._find(key)
        values[requests] += 1
        if latencies:
            seconds = entry.duration_seconds
            values[latencies + bisect_left(SECONDS, seconds)] += 1
            values[latencies + _SUM] += seconds
            if entry.first_byte_seconds is not None:
                at, seconds = latencies + _FIRST_BYTE, entry.first_byte_seconds
                values[at + bisect_left(SECONDS, seconds)] += 1
                values[at + _SUM] += seconds
            if entry.overhead_seconds is not None:
                seconds = entry.overhead_seconds
                values[latencies + _OVERHEAD + bisect_left(OVERHEAD_SECONDS, seconds)] += 1
                values[latencies + _OVERHEAD_SUM] += seconds
        if entry.input_tokens or entry.output_tokens or entry.cost_microusd:
            self._count_usage(entry)
        if entry.error_code:
            self._count_error(entry)

    def _count_usage(self, entry: UsageEntry) -> None:
        if entry.project_id is None:
            return
        values, key = self._values, (entry.project_id.int, entry.model)
        at = self._usage_places.get(key) or self._find_usage(key, str(entry.project_id))
        values[at] += entry.input_tokens or 0
        values[at + _OUTPUT] += entry.output_tokens or 0
        values[at + _CACHED] += entry.cached_tokens or 0
        values[at + _REASONING] += entry.reasoning_tokens or 0
        for index, name in _SELDOM:
            if count := getattr(entry, name):
                values[at + index] += count
        values[at + _COST] += entry.cost_microusd or 0

    def _count_error(self, entry: UsageEntry) -> None:
        self._values[self._board.place(ERRORS, (entry.error_code[:MAX_LABEL],))] += 1
        limit = entry.limit_reached or _LIMITS_BY_CODE.get(entry.error_code)
        if limit:
            self._values[self._board.place(LIMITS, (limit,))] += 1

    def _find(self, key: tuple[str, str, int | None, str]) -> tuple[int, int]:
        endpoint, method, status, outcome = key
        family = self._family_of(endpoint)[:MAX_LABEL] if endpoint else NONE
        labels = (
            family,
            method if method in METHODS else OTHER,
            _status(status),
            str(outcome),
        )
        is_measured = status not in (None, HTTPStatus.SWITCHING_PROTOCOLS) and outcome not in UNMEASURED
        places = (
            self._board.place(REQUESTS, labels),
            self._board.place(LATENCIES, (family,)) if is_measured else 0,
        )
        if len(self._places) >= MAX_KNOWN:
            self._places.clear()
        self._places[key] = places
        return places

    def _find_usage(self, key: tuple[int, str], project: str) -> int:
        self._board.place(USAGE, (project, OTHER))  # so that a project is not nameless for its models
        name = self._name_of(key[1]) or OTHER
        place = self._board.place(USAGE, (project, name[:MAX_LABEL]))
        if len(self._usage_places) >= MAX_KNOWN:
            self._usage_places.clear()
        self._usage_places[key] = place
        return place


def _status(status: int | None) -> str:
    """One that nobody has defined, such as 520 of fronts, is told by its class."""
    if status is None:
        return NONE
    if status in STATUSES:
        return str(int(status))
    return f"{status // 100}xx" if 100 <= status < 600 else OTHER


_LIMITS_BY_CODE = {
    "budget_exceeded": LimitName.BUDGET.value,
    "request_limit_reached": LimitName.REQUESTS.value,
}
"""Of what was admitted, and cut later."""

"""Histograms of seconds with fixed buckets, which can be added up: each bound is a fourth of a doubling above
the one before, from 1 ms to over an hour, so that a percentile is right within 9 %.
"""

import math
from collections.abc import Mapping

PER_DOUBLING = 4
FIRST_SECONDS = 0.001
LAST_BUCKET = 22 * PER_DOUBLING


def bucket_of(seconds: float) -> int:
    """0: up to a millisecond. The last one holds all that is longer."""
    if seconds <= FIRST_SECONDS:
        return 0
    return min(LAST_BUCKET, math.ceil(math.log2(seconds / FIRST_SECONDS) * PER_DOUBLING))


def percentile(buckets: Mapping[int, int], share: float) -> float | None:
    """The seconds within which this share of the requests ended; None: there were none."""
    total = sum(buckets.values())
    if total <= 0:
        return None
    wanted, seen = share * total, 0
    for bucket in sorted(buckets):
        seen += buckets[bucket]
        if seen >= wanted:
            return _middle(bucket)
    return _middle(max(buckets))


def _middle(bucket: int) -> float:
    """Between its bounds, as a ratio."""
    return FIRST_SECONDS * math.exp2((bucket - 0.5) / PER_DOUBLING) if bucket else FIRST_SECONDS

"""What one request's share of the limits costs in memory: acquire and settle, for a token and a project that
have all of them.
"""

import asyncio
import time
from uuid import UUID, uuid4

from tokens.limits.memory import MemoryStore
from tokens.limits.values import Charge, Estimate, Kind, Limits, Subject, Tally

REQUESTS = 5000
ROUNDS = 5
_MANY = 10**12
_ALL = Limits(_MANY, _MANY, _MANY, _MANY, (_MANY, _MANY, _MANY, _MANY))


def limits_cost_us() -> float:
    """Microseconds a request: the best of some rounds, for what is slower was disturbed."""
    return asyncio.run(_measure())


async def _measure() -> float:
    store = MemoryStore(_no_tally, max_accounts=10)
    subjects = (Subject(Kind.TOKEN, uuid4(), _ALL), Subject(Kind.PROJECT, uuid4(), _ALL))
    ids = [UUID(int=number) for number in range(REQUESTS)]
    rounds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for request_id in ids:
            lease = await store.acquire(request_id, subjects, Estimate(1000, 1000))
            await store.settle(lease, Charge(500, 500))
        rounds.append((time.perf_counter() - began) / REQUESTS * 1e6)
    return min(rounds)


async def _no_tally(subject: Subject, at_ms: int) -> Tally:
    return Tally()

"""Which requests stand for many: the same ones wherever it is asked, for it is their id that says so."""

from uuid import UUID

from usage.entry import UsageEntry
from usage.outcomes import Outcome

_RANDOM_BITS = 32
"""At the end of an id: of a UUIDv7 these are random, whatever is counted before them."""


def is_sampled(request_id: UUID, share: float) -> bool:
    """Whether it belongs to this share, 0 to 1, of all. Those of a smaller one belong to each larger one."""
    return (request_id.int & ((1 << _RANDOM_BITS) - 1)) < share * (1 << _RANDOM_BITS)


def went_well(entry: UsageEntry) -> bool:
    """Whether nobody will look for it: its client has upstream's whole answer, which is no error, upstream
    was asked no second time, and no rule in shadow mode would have refused it.
    """
    return (
        entry.outcome is Outcome.COMPLETED
        and (entry.status is None or entry.status < 400)
        and not entry.error_code
        and entry.attempts <= 1
        and not entry.shadow_refusals
    )

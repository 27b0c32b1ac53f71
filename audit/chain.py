"""The chain of events: each has a number, one more than the one before it, and a hash over what it says and
that one's hash. Who changes or removes an event breaks it; who prunes from its beginning leaves an anchor.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from django.db import transaction

from audit.models import AuditChain, AuditEvent
from audit.seal import seal

READ_AT_ONCE = 2000
SAVED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verifying found. `broken_at`: the number of the first event that was changed, or is missing."""

    events: int
    broken_at: int | None = None
    problem: str = ""

    def __str__(self) -> str:
        if self.broken_at is None:
            return f"Chain verified: {self.events} events."
        return f"Chain broken at event {self.broken_at}: {self.problem}"


def append(events: list[AuditEvent]) -> None:
    """Save events as the chain's next. The chain's row stays locked until the caller's transaction ends, so
    that no two events follow the same one; the events go if that transaction does.
    """
    with transaction.atomic():
        chain = locked()
        for event in events:
            event.sequence = chain.last_sequence + 1
            event.previous_hash = chain.last_hash
            event.details = json.loads(json.dumps(event.details))  # as it will be read: tuples are lists
            event.hash = seal(event)
            chain.last_sequence, chain.last_hash = event.sequence, event.hash
        AuditEvent.objects.bulk_create(events, batch_size=SAVED_AT_ONCE)
        chain.save(update_fields=["last_sequence", "last_hash"])


def locked() -> AuditChain:
    """The chain's one row, until the transaction ends. It is made where there is none."""
    chains = AuditChain.objects.select_for_update().filter(pk=AuditChain.ONLY)
    if chain := chains.first():
        return chain
    last = AuditEvent.objects.order_by("sequence").last()
    start = AuditChain(last_sequence=last.sequence, last_hash=last.hash) if last else AuditChain()
    AuditChain.objects.bulk_create([start], ignore_conflicts=True)  # another may have been quicker
    return chains.get()


def verify() -> Verdict:
    """Read the chain from its anchor to its end, as it is at the beginning; writers go on."""
    while True:
        chain = AuditChain.objects.filter(pk=AuditChain.ONLY).first() or AuditChain()
        verdict = _verify(chain)
        if verdict.broken_at is None or not _was_pruned_since(chain):
            return verdict


def _verify(chain: AuditChain) -> Verdict:
    number, previous = chain.anchor_sequence, chain.anchor_hash
    for event in _events(chain):
        number += 1
        if event.sequence != number:
            return _broken(chain, number, "it is missing.")
        if event.previous_hash != previous:
            return _broken(chain, number, "it does not follow the one before it.")
        if event.hash != seal(event):
            return _broken(chain, number, f"it is not what was recorded (id {event.id}).")
        previous = event.hash
    if number != chain.last_sequence:
        return _broken(chain, number + 1, "it is missing.")
    if previous != chain.last_hash:
        return _broken(chain, number, "it is not the one that was recorded last.")
    return Verdict(number - chain.anchor_sequence)


def _events(chain: AuditChain) -> Iterator[AuditEvent]:
    """Those before the anchor too, of which there should be none."""
    events = AuditEvent.objects.filter(sequence__lte=chain.last_sequence).order_by("sequence")
    return events.iterator(chunk_size=READ_AT_ONCE)


def _broken(chain: AuditChain, number: int, problem: str) -> Verdict:
    return Verdict(number - 1 - chain.anchor_sequence, number, problem)


def _was_pruned_since(chain: AuditChain) -> bool:
    now = AuditChain.objects.filter(pk=AuditChain.ONLY).values_list("anchor_sequence", flat=True).first()
    return now is not None and now > chain.anchor_sequence

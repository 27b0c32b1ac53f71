"""Deletes the oldest events. The anchor is the last of them: the chain is verified from there on."""

from collections.abc import Callable
from datetime import datetime

from django.db import transaction

from audit import trail
from audit.chain import locked
from audit.models import AuditEvent

AT_ONCE = 500


def prune(before: datetime, *, actor: str, is_stopping: Callable[[], bool] = lambda: False) -> int:
    """Delete the events before the first that is not older than `before`; how many. It can be run again."""
    kept = AuditEvent.objects.filter(occurred_at__gte=before).order_by("sequence").first()
    deleted = 0
    while not is_stopping() and (count := _prune_some(kept)):
        deleted += count
    if deleted:
        details = {"before": before.isoformat(), "events": deleted}
        trail.record_act("audit.pruned", "audit", actor=actor, details=details)
    return deleted


@transaction.atomic
def _prune_some(kept: AuditEvent | None) -> int:
    """A transaction so short that no act waits long for the chain."""
    chain = locked()
    ends = kept.sequence if kept else chain.last_sequence + 1
    old = AuditEvent.objects.filter(sequence__lt=ends).order_by("sequence")
    some = list(old.values_list("sequence", "hash")[:AT_ONCE])
    if not some:
        return 0
    chain.anchor_sequence, chain.anchor_hash = some[-1]
    chain.save(update_fields=["anchor_sequence", "anchor_hash"])
    AuditEvent.objects.filter(sequence__lte=chain.anchor_sequence).delete()
    return len(some)

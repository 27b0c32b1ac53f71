"""What is remembered of the ledger as a whole."""

from datetime import datetime

from usage.models import LedgerMark

PRUNED_BEFORE = "pruned_before"
"""Rows that began before this instant may be gone: their rollups are all that is left."""
UNSUMMED_BEFORE = "unsummed_before"
"""Rows up to this instant were written by an older version, without rollups."""


def mark(name: str) -> datetime | None:
    return LedgerMark.objects.filter(pk=name).values_list("instant", flat=True).first()


def advance(name: str, instant: datetime) -> None:
    """Never back."""
    LedgerMark.objects.get_or_create(pk=name, defaults={"instant": instant})
    LedgerMark.objects.filter(pk=name, instant__lt=instant).update(instant=instant)


def forget(name: str) -> None:
    LedgerMark.objects.filter(pk=name).delete()

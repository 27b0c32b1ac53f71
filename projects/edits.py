"""What an edit changed, as the audit trail keeps it. Whoever edits a secret does not come here."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from django.db.models import Model

from projects.lifetime import ttl_text


def edit(row: Model, edits: Mapping[str, object]) -> dict[str, object]:
    """Set these fields of a row, as it is stored by now, and lock it; what differs. In a transaction."""
    row.refresh_from_db(from_queryset=type(row)._default_manager.select_for_update())
    before = {field: getattr(row, field) for field in edits}
    for field, value in edits.items():
        setattr(row, field, value)
    return differences(before, row, edits)


def differences(before: Mapping[str, object], after: Model, fields: Iterable[str]) -> dict[str, object]:
    """Of the fields that differ, in their order: what was, and what is."""
    return {
        field: {"before": fact(before[field]), "after": fact(getattr(after, field))}
        for field in fields
        if before[field] != getattr(after, field)
    }


def fact(value: object) -> object:
    """A column's value as JSON can hold it and people read it."""
    if isinstance(value, datetime):
        return value.isoformat()
    return ttl_text(value) if isinstance(value, timedelta) else value

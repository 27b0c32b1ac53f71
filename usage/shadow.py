"""What rules in shadow mode would have refused, counted."""

from collections import Counter
from datetime import datetime
from uuid import UUID

from usage.models import UsageRecord


def count_shadow_refusals(since: datetime, project_id: UUID | None = None) -> Counter[tuple[UUID, UUID, str]]:
    """Requests by project, token and code."""
    records = UsageRecord.objects.filter(started_at__gte=since).exclude(shadow_refusals="")
    if project_id is not None:
        records = records.filter(project_id=project_id)
    counts: Counter[tuple[UUID, UUID, str]] = Counter()
    for project, token, codes in records.values_list("project_id", "token_id", "shadow_refusals").iterator():
        counts.update((project, token, code) for code in codes.split(","))
    return counts

"""Pages of the ledger, without counting millions of rows."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.core import paginator

from usage.models import UsageRecord

if TYPE_CHECKING:
    Paginator = paginator.Paginator[UsageRecord]
else:
    Paginator = paginator.Paginator

MOST_ROWS = 10_000
"""So many are counted and can be turned to; a filter or a search finds the others."""


class BoundedPaginator(Paginator):
    @cached_property
    def count(self) -> int:
        records: Any = self.object_list  # a queryset
        return int(records[:MOST_ROWS].count())

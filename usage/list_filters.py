"""The admin's filters of the ledger. By default it shows one day: little is read, whatever else is asked."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from usage.models import UsageRecord
from usage.seldom import unless_usual

LENGTHS = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "all": None,
}
USUAL = "24h"


class TimeFilter(admin.SimpleListFilter):
    """A search for an id looks everywhere."""

    title = "time"
    parameter_name = "over"

    def __init__(self, request: HttpRequest, *args: Any) -> None:
        self._is_search = bool(request.GET.get("q", "").strip())
        super().__init__(request, *args)

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, f"last {name}" if length else "all") for name, length in LENGTHS.items()]

    def value(self) -> str:
        value = super().value()
        if value in LENGTHS:
            return value
        return "all" if self._is_search else USUAL

    def choices(self, changelist: Any) -> Iterator[Any]:
        for name, title in self.lookup_choices:
            query = changelist.get_query_string({self.parameter_name: name})
            yield {"selected": self.value() == name, "query_string": query, "display": title}

    def queryset(self, request: HttpRequest, queryset: QuerySet[UsageRecord]) -> QuerySet[UsageRecord]:
        length = LENGTHS[self.value()]
        return queryset.filter(started_at__gte=timezone.now() - length) if length else queryset


class SeldomFilter(admin.ChoicesFieldListFilter):
    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        found = super().queryset(request, queryset)
        if found is None or not self.lookup_val:
            return found
        return found.filter(unless_usual(self.field_path, self.lookup_val))


class ShadowFilter(admin.SimpleListFilter):
    title = "rules in shadow mode"
    parameter_name = "shadow"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("refused", "would have been refused")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[UsageRecord]) -> QuerySet[UsageRecord]:
        return queryset.exclude(shadow_refusals="") if self.value() == "refused" else queryset

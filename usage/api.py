"""Routes under /manage/usage: the ledger's rows, and sums from the rollups."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone
from ninja import Query, Router

from llm_proxy_site.api.authentication import needs
from llm_proxy_site.api.caller import Request, found
from llm_proxy_site.api.errors import Invalid
from llm_proxy_site.api.paging import PAGING, page_of
from llm_proxy_site.api.schemas import Page
from llm_proxy_site.api.scopes import ApiScope
from usage import schemas
from usage.facts import record_facts
from usage.models import Period, UsageRecord
from usage.rollups import Scope, Span
from usage.schemas import SummaryQuery
from usage.seldom import unless_usual
from usage.summaries import GroupBy, period_of, summary_facts

router = Router(tags=["usage"])

READ = needs(ApiScope.USAGE_READ, "usage.view_usagerecord")
LONGEST = {Period.HOUR: timedelta(days=31), Period.DAY: timedelta(days=3 * 366)}


@router.get(
    "",
    auth=READ,
    response=Page[schemas.UsageRecord],
    operation_id="list_usage",
    summary="List the ledger's requests, the newest first",
)
def list_usage(request: Request, filters: Query[schemas.UsageFilters]) -> dict[str, Any]:
    return page_of(_filtered(_records(request), filters), filters, record_facts, by="started_at")


@router.get(
    "/summary",
    auth=READ,
    response=schemas.Summary,
    operation_id="summarize_usage",
    summary="Sum usage up by project, token, model, hour or day",
)
def summarize_usage(request: Request, query: Query[SummaryQuery]) -> dict[str, Any]:
    if query.group_by is GroupBy.MODEL and query.token_id is not None:
        raise Invalid("Of one token, usage is not summed up by model.", "group_by")
    return summary_facts(query.group_by, _span(query), _scope(request, query), query.limit)


@router.get(
    "/{record_id}",
    auth=READ,
    response=schemas.UsageRecord,
    operation_id="get_usage",
    summary="Show one request of the ledger",
)
def get_usage(request: Request, record_id: UUID) -> dict[str, Any]:
    """Its id is what the client saw as `x-llm-proxy-request-id`."""
    return record_facts(found(_records(request), record_id, "such request"))


def _records(request: Request) -> QuerySet[UsageRecord]:
    return request.auth.within_reach(UsageRecord.objects.all())


def _filtered(records: QuerySet[UsageRecord], filters: schemas.UsageFilters) -> QuerySet[UsageRecord]:
    given = filters.model_dump(exclude_none=True, exclude=PAGING)
    names = {"since": "started_at__gte", "until": "started_at__lt"}
    found = records.filter(**{names.get(name, name): value for name, value in given.items()})
    return found.filter(unless_usual("outcome", [filters.outcome])) if filters.outcome else found


def _scope(request: Request, query: SummaryQuery) -> Scope:
    visible = request.auth.project_ids
    return Scope(query.project_id, query.token_id, None if visible is None else frozenset(visible))


def _span(query: SummaryQuery) -> Span:
    """Raises Invalid."""
    if query.last is not None and query.since is not None:
        raise Invalid("Give `last` or `since`, not both.", "last")
    until = query.until or timezone.now()
    try:
        since = query.since or until - (query.last or timedelta(days=1))
    except OverflowError:
        raise Invalid("That is too long ago.", "last") from None
    if since >= until:
        raise Invalid("`since` must be before `until`.", "since")
    period = period_of(query.group_by, until - since)
    if until - since > LONGEST[period]:
        raise Invalid(f"By {period.value}, {LONGEST[period].days} days at most can be asked for.", "since")
    return Span.between(period, since, until)

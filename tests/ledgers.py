"""What must hold of the ledger whatever happened: it has what clients saw end, and its sums are its rows'."""

from collections import Counter
from collections.abc import Iterable
from uuid import UUID

from django.db.models import Sum

from tokens.models import AccessToken
from usage.models import DailySpend, UsageRecord


def missing(seen: Iterable[str]) -> set[UUID]:
    """The requests, by the ids that clients saw, that the ledger does not have."""
    ids = {UUID(each) for each in seen}
    return ids - set(UsageRecord.objects.filter(pk__in=ids).values_list("pk", flat=True))


def assert_sums_are_those_of_the_rows() -> None:
    requests: Counter[UUID] = Counter()
    costs: Counter[UUID] = Counter()
    rows = UsageRecord.objects.values_list("token_id", "project_id", "is_admitted", "cost_microusd")
    for token_id, project_id, is_admitted, cost in rows:
        for subject_id in (token_id, project_id):
            requests[subject_id] += is_admitted
            costs[subject_id] += cost or 0
    for token_id, request_count in AccessToken.objects.values_list("id", "request_count"):
        assert request_count == requests[token_id]
    days = DailySpend.objects.values("subject_id").annotate(Sum("requests"), Sum("cost_microusd"))
    assert {day["subject_id"]: day["requests__sum"] for day in days} == {
        subject: count for subject, count in requests.items() if count or costs[subject]
    }
    assert {day["subject_id"]: day["cost_microusd__sum"] for day in days} == {
        subject: cost for subject, cost in costs.items() if requests[subject] or cost
    }

"""Fields of the ledger that nearly always have one value. Rows with another are in an index of their own that
the usual ones do not cost; databases take it where it is said that the usual value is not meant.
"""

from collections.abc import Collection

from django.db.models import Index, Q

from usage.outcomes import CostSource, Outcome

USUAL = {"outcome": Outcome.COMPLETED.value, "cost_source": CostSource.PRICE.value}


def indexes() -> list[Index]:
    return [
        Index(fields=[field, "started_at"], condition=~Q(**{field: usual}), name=f"usage_record_by_{field}")
        for field, usual in USUAL.items()
    ]


def unless_usual(field: str, wanted: Collection[str]) -> Q:
    """To be asked for beside the field's wanted values."""
    usual = USUAL[field]
    return Q() if usual in wanted else ~Q(**{field: usual})

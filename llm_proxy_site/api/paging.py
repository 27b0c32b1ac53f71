"""Pages of rows, the newest first. A cursor is a place between two rows, and not a number of rows: what is
added or pruned meanwhile makes none appear twice, and the millionth page costs what the first does.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet
from pydantic import Field

from llm_proxy_site.api.errors import Invalid
from llm_proxy_site.api.schemas import Asked, read_moment

MAX_ROWS = 500

Row = TypeVar("Row", bound=Model)


class Paging(Asked):
    limit: Annotated[int, Field(ge=1, le=MAX_ROWS)] = 50
    cursor: Annotated[str | None, Field(max_length=200, description="`next_cursor` of the page before.")] = (
        None
    )


PAGING = set(Paging.model_fields)


def page_of(
    rows: QuerySet[Row], paging: Paging, facts: Callable[[Row], dict[str, Any]], *, by: str = "created_at"
) -> dict[str, Any]:
    """`by`: an instant that each row has. Raises Invalid for a cursor that is none."""
    if paging.cursor is not None:
        instant, row_id = _read(paging.cursor, rows.model)
        before = Q(**{f"{by}__lt": instant}) | Q(**{by: instant, "id__lt": row_id})
        rows = rows.filter(before, **{f"{by}__lte": instant})  # the second lets an index be used
    found = list(rows.order_by(f"-{by}", "-id")[: paging.limit + 1])
    shown, has_more = found[: paging.limit], len(found) > paging.limit
    return {
        "data": [facts(row) for row in shown],
        "has_more": has_more,
        "next_cursor": _written(shown[-1], by) if has_more else None,
    }


def _written(row: Model, by: str) -> str:
    return urlsafe_b64encode(f"{getattr(row, by).isoformat()} {row.pk}".encode()).decode()


def _read(cursor: str, model: type[Model]) -> tuple[datetime, object]:
    try:
        instant, _, row_id = urlsafe_b64decode(cursor.encode()).decode().partition(" ")
        return read_moment(instant), model._meta.pk.to_python(row_id)
    except (ValueError, binascii.Error, ValidationError):
        raise Invalid("This is no cursor that a page has given.", "cursor") from None

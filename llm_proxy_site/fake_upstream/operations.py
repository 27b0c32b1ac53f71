"""Every operation of OpenAI's published API, from a table of facts (`operations.tsv`), answered plausibly.

What has an endpoint of its own here (`app.ENDPOINTS`) is answered there. Upstream's admin surface is listed
and not served: a request for it that comes here has slipped through.
"""

import csv
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FILE = Path(__file__).with_name("operations.tsv")
_ADMIN = ("/organization/", "/projects/")


@dataclass(frozen=True, slots=True)
class Operation:
    method: str
    path: str
    """Below /v1, with its variables in braces."""
    query: str
    """That is part of the operation, such as `beta=true`."""
    request_types: tuple[str, ...]
    """Media types of which a request has one; none: it has no body."""
    status: int
    response_types: tuple[str, ...]
    """Of its success; none: nothing is said of its body."""
    parameters: tuple[str, ...]
    """Of the query."""

    @property
    def is_admin(self) -> bool:
        """Whether it manages upstream's organisation."""
        return self.path.startswith(_ADMIN)

    @property
    def shape(self) -> str:
        """The path without the names of its variables."""
        return re.sub(r"\{\w+\}", "{}", self.path)

    @property
    def words(self) -> list[str]:
        """The path's segments that are no variables."""
        return [part for part in self.path.split("/") if part and not part.startswith("{")]

    @property
    def ends_in_variable(self) -> bool:
        return self.path.endswith("}")


@cache
def published() -> tuple[Operation, ...]:
    with _FILE.open(encoding="ascii", newline="") as lines:
        rows = csv.DictReader((line for line in lines if not line.startswith("#")), delimiter="\t")
        return tuple(_operation(row) for row in rows)


def _operation(row: dict[str, str]) -> Operation:
    path, _, query = row["path"].partition("?")
    responses = [response.partition(" ") for response in row["responses"].split(",")]
    return Operation(
        method=row["method"],
        path=path,
        query=query,
        request_types=_listed(row["request"], ","),
        status=int(responses[0][0]),
        response_types=tuple(media_type for _, _, media_type in responses if media_type),
        parameters=_listed(row["query"], " "),
    )


def _listed(text: str, separator: str) -> tuple[str, ...]:
    return () if text == "-" else tuple(text.split(separator))

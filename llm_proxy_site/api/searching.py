"""Finding a text in a column, in any case: MySQL's LIKE tells cases apart, as our collation does."""

from django.db.models import Q
from django.db.models.functions import Lower
from django.db.models.lookups import Contains


def holds(column: str, text: str) -> Q:
    """SQLite makes small letters of ASCII only, so what is written as in the column is looked for, too."""
    return Q(**{f"{column}__icontains": text}) | Q(Contains(Lower(column), text.lower()))

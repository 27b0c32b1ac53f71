"""One row of the original's database. A value that cannot be read is told, and counts as none, so that all
that is wrong with a file is told at once. Nothing that is told is a secret.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

MAX_SHOWN = 40
FLAGS = {"1": True, "true": True, "0": False, "false": False}


@dataclass(frozen=True, slots=True)
class Row:
    label: str
    """As people are told of it."""
    values: dict[str, Any]
    problems: list[str]
    """Of the whole file."""

    def tell(self, field: str, problem: str) -> None:
        self.problems.append(problem_text(self.label, field, problem))

    def text(self, field: str) -> str:
        value = self.values.get(field)
        if value is None:
            return ""
        if isinstance(value, str) and "\0" not in value:
            return value
        self.tell(field, "It is no text, or has a NUL character. Mend it in the original.")
        return ""

    def number(self, field: str) -> int | None:
        value = self.values.get(field)
        if value is None or isinstance(value, int):
            return value
        self.tell(field, f"{shown(value)} is no whole number. Mend it in the original.")
        return None

    def instant(self, field: str) -> datetime | None:
        """As Go's driver writes them, or SQLite's CURRENT_TIMESTAMP, which is UTC."""
        value = self.values.get(field)
        if value is None:
            return None
        try:
            instant = datetime.fromisoformat(value)
            return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
        except (TypeError, ValueError, OverflowError):
            self.tell(field, f"{shown(value)} is an instant that cannot be read. Mend it in the original.")
            return None

    def needed_instant(self, field: str) -> datetime:
        """Where there is none, some instant: then the row is refused."""
        if self.values[field] is None:
            self.tell(field, "There is none. Mend it in the original.")
        return self.instant(field) or datetime.now(UTC)

    def flag(self, field: str, *, missing: bool) -> bool:
        """`missing`: where the table has no such column."""
        value = self.values.get(field, missing)
        known = FLAGS.get(str(value).lower())
        if known is None:
            self.tell(field, f"{shown(value)} is neither 1 nor 0. Mend it in the original.")
        return bool(known)


def problem_text(label: str, field: str, problem: str) -> str:
    return f"{label}: {field}: {problem}"


def shown(value: object) -> str:
    """On one line, with nothing that a terminal would obey."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"

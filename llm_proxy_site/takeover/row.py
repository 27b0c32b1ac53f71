"""One row of the original's database. A value that cannot be read is told, and counts as none, so that all
that is wrong with a file is told at once. Nothing that is told is a secret.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

MAX_SHOWN = 40


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
        if not value:
            return None
        try:
            instant = datetime.fromisoformat(value)
            return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
        except (TypeError, ValueError, OverflowError):
            self.tell(field, f"{shown(value)} is an instant that cannot be read. Mend it in the original.")
            return None


def problem_text(label: str, field: str, problem: str) -> str:
    return f"{label}: {field}: {problem}"


def shown(value: object) -> str:
    """On one line, with nothing that a terminal would obey."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"

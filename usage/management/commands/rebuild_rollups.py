"""`manage.py rebuild_rollups`."""

from argparse import ArgumentParser
from datetime import datetime, timedelta
from typing import Any

from llm_proxy_site.commands import FactsCommand
from llm_proxy_site.terminal import Advance, progress
from projects.management.options import utc_day
from usage.rebuilding import days_to_rebuild, rebuild


class Command(FactsCommand):
    help = "Make the hourly and daily rollups anew from the ledger's rows, while the proxy goes on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--since",
            type=utc_day,
            metavar="YYYY-MM-DD",
            help="the first UTC day (default: all of the ledger)",
        )

    def facts(self, *, since: datetime | None, **options: Any) -> dict[str, Any]:
        if not self.stderr.isatty():
            return {"hours": rebuild(since, lambda day: self.stderr.write(f"{day:%Y-%m-%d}"))}
        begin, days = days_to_rebuild(since)
        with progress(self.stderr, "Summing up days", lambda: days) as advance:
            return {"hours": rebuild(since, _Days(begin, advance).reach)}

    def text(self, facts: dict[str, Any]) -> str:
        return f"Hours that were summed up anew: {facts['hours']}."


class _Days:
    """Those without requests are passed over."""

    def __init__(self, begin: datetime, advance: Advance) -> None:
        self._next = begin
        self._advance = advance

    def reach(self, day: datetime) -> None:
        after = day + timedelta(days=1)
        self._advance((after - self._next).days)
        self._next = after

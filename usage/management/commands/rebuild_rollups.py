"""`manage.py rebuild_rollups`."""

from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from typing import Any

from llm_proxy_site.commands import FactsCommand
from usage.rebuilding import rebuild


class Command(FactsCommand):
    help = "Make the hourly and daily rollups anew from the ledger's rows, while the proxy goes on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--since", type=_day, metavar="YYYY-MM-DD", help="the first UTC day (default: all of the ledger)"
        )

    def facts(self, *, since: datetime | None, **options: Any) -> dict[str, Any]:
        def tell(day: datetime) -> None:
            self.stderr.write(f"{day:%Y-%m-%d}")

        return {"hours": rebuild(since, tell)}

    def text(self, facts: dict[str, Any]) -> str:
        return f"Hours that were summed up anew: {facts['hours']}."


def _day(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise ArgumentTypeError("must be a day such as 2026-01-31") from None

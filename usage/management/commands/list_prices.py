"""`manage.py list_prices`."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.utils import timezone

from llm_proxy_site.commands import FactsCommand
from llm_proxy_site.terminal import Table
from usage.management.prices import price_table
from usage.models import ModelPrice
from usage.price_facts import holding_prices, unpriced_models
from usage.price_overrides import price_facts

UNPRICED_DAYS = 30


class Command(FactsCommand):
    help = "List the prices that were set, or those that hold for models, or the models without one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "models", nargs="*", default=[], metavar="MODEL", help="show the price that holds for it"
        )
        what.add_argument(
            "--unpriced",
            action="store_true",
            help=f"show what was asked for without a price in the last {UNPRICED_DAYS} days",
        )

    def facts(self, *, models: list[str], unpriced: bool, **options: Any) -> list[dict[str, Any]]:
        self._as_text = _unpriced_table if unpriced else price_table
        if unpriced:
            return unpriced_models(since=timezone.now() - timedelta(days=UNPRICED_DAYS))
        if models:
            return holding_prices(models)
        return [{**price_facts(price), "source": "override"} for price in ModelPrice.objects.all()]

    def text(self, facts: list[dict[str, Any]]) -> Table:
        return self._as_text(facts)


def _unpriced_table(models: list[dict[str, Any]]) -> Table:
    rows = [
        [each["model"] or "-", each["endpoint"], str(each["requests"]), each["last_used_at"]]
        for each in models
    ]
    return Table(["MODEL", "ENDPOINT", "REQUESTS", "LAST USED"], rows)

"""`manage.py list_prices`."""

from argparse import ArgumentParser
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Max, Q
from django.utils import timezone

from llm_proxy_site.commands import FactsCommand, table
from projects.money import usd_text
from usage.management.prices import price_table
from usage.models import ModelPrice, UsageRecord
from usage.outcomes import CostSource
from usage.price_book import PriceBook
from usage.price_overrides import load_overrides, price_facts
from usage.prices import Rates

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
            return _unpriced(since=timezone.now() - timedelta(days=UNPRICED_DAYS))
        if models:
            return _holding(models)
        return [{**price_facts(price), "source": "override"} for price in ModelPrice.objects.all()]

    def text(self, facts: list[dict[str, Any]]) -> str:
        return self._as_text(facts)


def _unpriced(since: datetime) -> list[dict[str, Any]]:
    """Whether such requests passed, were charged a flat price, or were refused."""
    had_no_price = Q(cost_source__in=[CostSource.UNPRICED, CostSource.FLAT]) | Q(error_code="model_unpriced")
    models = (
        UsageRecord.objects.filter(had_no_price, started_at__gte=since)
        .values("model", "endpoint")
        .annotate(requests=Count("id"), last_used_at=Max("started_at"))
        .order_by("-requests", "model")
    )
    return [{**model, "last_used_at": model["last_used_at"].isoformat()} for model in models]


def _unpriced_table(models: list[dict[str, Any]]) -> str:
    rows = [
        [each["model"] or "-", each["endpoint"], str(each["requests"]), each["last_used_at"]]
        for each in models
    ]
    return table(["MODEL", "ENDPOINT", "REQUESTS", "LAST USED"], rows)


def _holding(models: list[str]) -> list[dict[str, Any]]:
    book = PriceBook()
    book.set_overrides(load_overrides())
    return [_facts(book, model) for model in models]


def _facts(book: PriceBook, model: str) -> dict[str, Any]:
    price = book.find(model)
    if price is None:
        return {"model": model, "source": "none"}
    return {
        "model": model,
        "source": "override" if book.find_override(model) else "genai-prices",
        **_rate_facts(price.rates),
        "context_window": price.context_window,
        "max_output_tokens": price.max_output_tokens,
        "tiers": [{"above": above, **_rate_facts(rates)} for above, rates in price.tiers],
    }


def _rate_facts(rates: Rates) -> dict[str, str]:
    """US dollars per million model tokens; micro-USD per million are pico-USD per model token."""
    return {
        "input_price": usd_text(rates.text_input),
        "cached_input_price": usd_text(rates.cached_input),
        "output_price": usd_text(rates.text_output),
        "audio_input_price": usd_text(rates.audio_input),
        "audio_output_price": usd_text(rates.audio_output),
        "cache_write_price": usd_text(rates.cache_write),
    }

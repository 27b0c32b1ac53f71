"""Which prices hold, and what has none, as plain data: what commands and the management API tell."""

from datetime import datetime
from typing import Any

from django.db.models import Count, Max, Q

from projects.money import usd_text
from usage.models import UsageRecord
from usage.outcomes import CostSource
from usage.price_book import PriceBook
from usage.price_overrides import load_overrides
from usage.prices import Rates


def holding_prices(models: list[str]) -> list[dict[str, Any]]:
    book = PriceBook()
    book.set_overrides(load_overrides())
    return [_facts(book, model) for model in models]


def unpriced_models(since: datetime) -> list[dict[str, Any]]:
    """Whether such requests passed, were charged a flat price, or were refused."""
    had_no_price = Q(cost_source__in=[CostSource.UNPRICED, CostSource.FLAT]) | Q(error_code="model_unpriced")
    models = (
        UsageRecord.objects.filter(had_no_price, started_at__gte=since)
        .values("model", "endpoint")
        .annotate(requests=Count("id"), last_used_at=Max("started_at"))
        .order_by("-requests", "model")
    )
    return [{**model, "last_used_at": model["last_used_at"].isoformat()} for model in models]


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

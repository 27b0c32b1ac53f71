"""What the price commands share: prices as lines for people."""

from typing import Any

from llm_proxy_site.terminal import Table
from usage.price_overrides import AMOUNTS, MODEL_LIMITS

HEADINGS = ["MODEL", "SOURCE", "INPUT", "CACHED", "OUTPUT", "AUDIO IN", "AUDIO OUT", "CONTEXT", "MAX OUTPUT"]
SHOWN = (*AMOUNTS, *MODEL_LIMITS)


def price_table(prices: list[dict[str, Any]]) -> Table:
    """A line for each price; another for each of its tiers, the rates of requests with a longer input."""
    rows = []
    for price in prices:
        rows.append([price["model"], price["source"], *_cells(price)])
        rows += [[f"  above {tier['above']} input", "", *_cells(tier)] for tier in price.get("tiers", [])]
    return Table(HEADINGS, rows)


def _cells(price: dict[str, Any]) -> list[str]:
    return ["-" if price.get(name) is None else str(price[name]) for name in SHOWN]

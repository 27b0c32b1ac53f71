"""`manage.py set_price`."""

from argparse import ArgumentParser, ArgumentTypeError
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import CommandError

from audit.actors import of_command_line
from llm_proxy_site.commands import FactsCommand
from usage.lifecycle import remove_price, set_price
from usage.management.prices import price_table
from usage.models import ModelPrice
from usage.price_overrides import AMOUNTS, MODEL_LIMITS, price_facts

NEEDS = "A price needs --input and --output, and --remove needs that nothing else is given."


class Command(FactsCommand):
    help = "Set the price of a model, or of a pattern of models, in US dollars per million model tokens."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("model", help="its name, or a pattern such as my-model-*")
        for name, meaning in (
            ("input", "of text"),
            ("cached-input", "of input from the cache (default: as --input)"),
            ("output", "of text; 0 for embeddings"),
            ("audio-input", "of audio (default: as --input)"),
            ("audio-output", "of audio (default: as --output)"),
        ):
            destination = f"{name.replace('-', '_')}_price"
            parser.add_argument(f"--{name}", dest=destination, type=_usd, metavar="USD", help=meaning)
        for name, meaning in (
            ("context-window", "model tokens that an input can have (default: as known)"),
            ("max-output-tokens", "model tokens that an output can have (default: as known)"),
        ):
            parser.add_argument(f"--{name}", type=_count, metavar="N", help=meaning)
        parser.add_argument("--remove", action="store_true", help="forget the price that was set")

    def facts(self, *, model: str, remove: bool, **options: Any) -> dict[str, Any]:
        values = {name: options[name] for name in (*AMOUNTS, *MODEL_LIMITS)}
        given = {name for name, value in values.items() if value is not None}
        makes_sense = not given if remove else {"input_price", "output_price"} <= given
        if not makes_sense:
            raise CommandError(NEEDS, returncode=2)
        return _remove(model) if remove else _set(model, values)

    def text(self, facts: dict[str, Any]) -> str:
        if facts["source"] is None:
            return f"The price of {facts['model']} is removed."
        return f"{price_table([facts])}" + ("" if facts["changed"] else "\nNothing has changed.")


def _set(model: str, values: dict[str, Any]) -> dict[str, Any]:
    price = ModelPrice.objects.filter(model=model.strip()).first() or ModelPrice(model=model)
    for name, value in values.items():
        setattr(price, name, value)
    changed = set_price(price, actor=of_command_line())
    return {**price_facts(price), "source": "override", "changed": changed}


def _remove(model: str) -> dict[str, Any]:
    price = ModelPrice.objects.filter(model=model.strip()).first()
    if price is None:
        raise CommandError(f"No price is set for {model!r}. `list_prices` shows those that are.")
    remove_price(price, actor=of_command_line())
    return {**price_facts(price), "source": None, "changed": True}


def _usd(text: str) -> Decimal:
    """Unlike an amount of money, a price can be 0."""
    try:
        price = Decimal(text.strip().removeprefix("$"))
    except InvalidOperation:
        price = Decimal("NaN")
    if not (price.is_finite() and price >= 0):
        raise ArgumentTypeError("must be a number of US dollars, such as 2.50, and at least 0")
    return price


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) < 2**31:
        raise ArgumentTypeError("must be a whole number above 0")
    return int(text)

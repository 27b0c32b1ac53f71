"""Form fields for lifetimes, money and limits: typed as people write them, cleaned to what is stored."""

import json
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminBigIntegerFieldWidget, AdminTextareaWidget, AdminTextInputWidget
from django.core.exceptions import ValidationError

from projects.lifetime import NEVER, parse_ttl, ttl_text
from projects.money import parse_usd, usd_text
from projects.rules import read_rules

RULES_HELP = """JSON, such as {"models": ["gpt-4o*"], "parameters": [{"name": "max_tokens", "maximum": 2000},
{"name": "tools[].type", "allowed": ["function"]}], "endpoints": ["chat", "GET /models"],
"origins": ["https://app.example.com"], "networks": ["10.0.0.0/8"], "max_body_bytes": 1000000,
"shadow": ["models"]}. Empty: no rules. docs/policy.md describes them all."""


class TextField(forms.CharField):
    """A value that has a text form; None is the empty text."""

    widget: type[forms.Widget] = AdminTextInputWidget

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, **options)

    def parse(self, text: str) -> Any:
        """Raises a ValueError whose message is fit for a user."""
        raise NotImplementedError

    def write(self, value: Any) -> str:
        raise NotImplementedError

    def clean(self, value: str | None) -> Any:
        text = super().clean(value)
        try:
            return self.parse(text) if text else None
        except ValueError as problem:
            raise ValidationError(str(problem)) from problem

    def prepare_value(self, value: Any) -> Any:
        return value if value is None or isinstance(value, str) else self.write(value)

    def has_changed(self, initial: Any, data: str | None) -> bool:
        try:
            return bool(self.clean(data) != initial)
        except ValidationError:
            return True


class LifetimeField(TextField):
    """`15m`, `24h`, `7d` or `never`, cleaned to a timedelta."""

    def parse(self, text: str) -> timedelta | None:
        return parse_ttl(text)

    def write(self, value: timedelta) -> str:
        return ttl_text(value)


class IdleLifetimeField(LifetimeField):
    """A lifetime where to have none is to live on: `never` is cleaned to None, as nothing is."""

    def parse(self, text: str) -> timedelta | None:
        ttl = parse_ttl(text)
        return None if ttl == NEVER else ttl


class PeriodField(LifetimeField):
    """A lifetime that ends, and must be given."""

    def clean(self, value: str | None) -> Any:
        period = super().clean(value)
        if period in (None, NEVER):
            raise ValidationError("This is a number and a unit, such as 12h or 7d.")
        return period


class NamesField(TextField):
    """Names, one a line, cleaned to a list."""

    def __init__(self, **options: Any) -> None:
        super().__init__(widget=AdminTextareaWidget(attrs={"rows": 4}), **options)

    def parse(self, text: str) -> list[str]:
        return text.split()

    def write(self, value: list[str]) -> str:
        return "\n".join(value)

    def clean(self, value: str | None) -> Any:
        return super().clean(value) or []


class UsdField(TextField):
    """`12.50`, cleaned to micro-USD; empty: none."""

    def parse(self, text: str) -> int:
        return parse_usd(text)

    def write(self, value: int) -> str:
        return usd_text(value)


class RulesField(TextField):
    """A JSON document of rules, cleaned to a dict; empty: no rules."""

    widget = AdminTextareaWidget

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"label": "Rules", "help_text": RULES_HELP, **options})

    def parse(self, text: str) -> dict[str, Any]:
        return read_rules(text)

    def write(self, value: dict[str, Any]) -> str:
        return json.dumps(value, indent=2, ensure_ascii=False) if value else ""

    def clean(self, value: str | None) -> Any:
        return super().clean(value) or {}


class LimitField(forms.IntegerField):
    """A whole number from 1; empty: no limit."""

    widget = AdminBigIntegerFieldWidget

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, min_value=1, max_value=2**63 - 1, **options)

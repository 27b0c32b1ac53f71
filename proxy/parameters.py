"""Whether what a body says by a name fits the rule for it: as JSON has it, or as readers of forms take it."""

import re
from typing import Any

from projects.ruleset import Parameter
from proxy.document import Document, values_at

_NUMBER = re.compile(r"\s*[+-]?\d{1,30}(\.\d{0,30})?([eE][+-]?\d{1,3})?\s*", re.ASCII)
_TEXTS_OF_FLAGS = {
    True: ("true", "1", "yes", "on", "y", "t"),
    False: ("false", "0", "no", "off", "n", "f", ""),
}
"""As readers of forms understand them."""


def fits(parameter: Parameter, document: Document, *, may_be_absent: bool) -> bool:
    """Whether every value that the body has there is one that the rule allows."""
    rule = parameter.rule
    values = values_at(document.values, parameter.path)
    if not values:
        return may_be_absent or not rule.required
    if rule.forbidden:
        return False
    number, equals = (_form_number, _form_equals) if document.is_form else (_number, _equals)
    for value in values:
        if rule.maximum is not None:
            amount = number(value)
            if amount is None or not amount <= rule.maximum:
                return False
        if rule.allowed is not None and not any(equals(value, one) for one in rule.allowed):
            return False
        if rule.forbidden_values and (
            _is_doubtful(value) or any(equals(value, one) for one in rule.forbidden_values)
        ):
            return False
    return True


def _number(value: Any) -> int | float | None:
    """A JSON number; True is none, and neither is a text of digits."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _equals(value: Any, other: bool | float | str) -> bool:
    """As JSON has it: 1 and 1.0 are one number, true is none."""
    return isinstance(value, bool) == isinstance(other, bool) and bool(value == other)


def _form_number(value: Any) -> float | None:
    return float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else None


def _form_equals(value: Any, other: bool | float | str) -> bool:
    """Whether upstream may read the text of a form's field so."""
    if isinstance(other, str):
        return bool(value == other)
    if isinstance(other, bool):
        return isinstance(value, str) and value.strip().lower() in _TEXTS_OF_FLAGS[other]
    return _form_number(value) == other


def _is_doubtful(value: Any) -> bool:
    """What cannot be compared with one value: an object, or JSON in a form."""
    return isinstance(value, dict) or (isinstance(value, str) and value.lstrip()[:1] in ("{", "[", '"'))

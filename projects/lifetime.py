"""Lifetimes: their bounds, and the text form `15m`, `24h`, `7d`, `never`."""

import re
from datetime import timedelta

MIN_TTL = timedelta(minutes=1)
MAX_TTL = timedelta(days=365)
NEVER = timedelta.max
"""The lifetime of what does not expire."""
MAX_PERIOD = timedelta(days=36_500)

_UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_OUT_OF_BOUNDS = "A lifetime is at least 1 minute and at most 365 days, or the word never."
_PERIOD = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)


class InvalidTTLError(ValueError):
    """The text is not a lifetime, or it is one out of bounds; the message is fit for a user."""


def parse_ttl(text: str) -> timedelta:
    """The lifetime that `text` stands for: a number and a unit (s, m, h, d, w), or `never`.

    Raises InvalidTTLError for anything else, and for a lifetime outside MIN_TTL..MAX_TTL.
    """
    if text.strip().lower() == "never":
        return NEVER
    ttl = _parse(text)
    if ttl is None:
        raise InvalidTTLError("A lifetime is a number and a unit, such as 15m, 24h or 7d, or the word never.")
    return check_ttl(ttl)


def parse_period(text: str) -> timedelta:
    """A number and a unit, with no least value. Raises InvalidTTLError."""
    period = _parse(text)
    if period is None:
        raise InvalidTTLError("A period is a number and a unit, such as 15m, 24h or 7d.")
    if period > MAX_PERIOD:
        raise InvalidTTLError(f"A period is at most {MAX_PERIOD.days} days.")
    return period


def check_ttl(ttl: timedelta) -> timedelta:
    if ttl != NEVER and not MIN_TTL <= ttl <= MAX_TTL:
        raise InvalidTTLError(_OUT_OF_BOUNDS)
    return ttl


def ttl_text(ttl: timedelta) -> str:
    """The lifetime as a person would type it: parse_ttl's inverse. A single day is 24h."""
    if ttl == NEVER:
        return "never"
    for letter in "dhm":
        unit = _UNITS[letter]
        if not ttl % unit and (ttl > unit or letter != "d"):
            return f"{ttl // unit}{letter}"
    return f"{ttl // _UNITS['s']}s"


def _parse(text: str) -> timedelta | None:
    match = _PERIOD.fullmatch(text.strip().lower())
    if match is None:
        return None
    unit = _UNITS[match[2]]
    return min(int(match[1]), MAX_PERIOD // unit + 1) * unit  # more than this a timedelta may not hold

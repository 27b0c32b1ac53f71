"""How long an access token lives: the bounds, and the text form `15m`, `24h`, `7d`, `never`."""

import re
from datetime import timedelta

MIN_TTL = timedelta(minutes=1)
MAX_TTL = timedelta(days=365)
NEVER = timedelta.max
"""The lifetime of a token that does not expire."""

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_OUT_OF_BOUNDS = "A token lives at least 1 minute and at most 365 days, or never expires."
_TTL = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)


class InvalidTTLError(ValueError):
    """The text is not a lifetime, or one out of bounds; the message is fit for a user."""


def parse_ttl(text: str) -> timedelta:
    """The lifetime that `text` stands for: a number and a unit (s, m, h, d, w), or `never`.

    Raises InvalidTTLError for anything else, and for a lifetime outside MIN_TTL..MAX_TTL.
    """
    text = text.strip().lower()
    if text == "never":
        return NEVER
    match = _TTL.fullmatch(text)
    if match is None:
        raise InvalidTTLError("A lifetime is a number and a unit, such as 15m, 24h or 7d, or the word never.")
    try:
        return check_ttl(timedelta(**{_UNITS[match[2]]: int(match[1])}))
    except OverflowError:
        raise InvalidTTLError(_OUT_OF_BOUNDS) from None


def check_ttl(ttl: timedelta) -> timedelta:
    if ttl != NEVER and not MIN_TTL <= ttl <= MAX_TTL:
        raise InvalidTTLError(_OUT_OF_BOUNDS)
    return ttl

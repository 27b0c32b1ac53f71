"""US dollars as people write them, and micro-USD, the whole numbers that everything counts in."""

import re

MICROUSD = 1_000_000
MAX_MICROUSD = 2**53
"""Nine thousand million dollars: more than any budget, and exact in every format that numbers pass."""
_USD = re.compile(r"\$?(\d{1,20})(?:\.(\d{1,20}))?", re.ASCII)


class InvalidAmountError(ValueError):
    """The text is not an amount of money; the message is fit for a user."""


def parse_usd(text: str) -> int:
    """`12.50` or `$12.50` in micro-USD, at least one. Raises InvalidAmountError for anything else."""
    match = _USD.fullmatch(text.strip())
    if match is None:
        raise InvalidAmountError("An amount is a number of US dollars, such as 5 or 0.25.")
    fraction = (match[2] or "").rstrip("0")
    if len(fraction) > 6:
        raise InvalidAmountError("An amount of US dollars has at most six decimal places.")
    amount = int(match[1]) * MICROUSD + int(fraction.ljust(6, "0"))
    if not 0 < amount <= MAX_MICROUSD:
        raise InvalidAmountError("An amount of US dollars is above 0 and at most 9 thousand million.")
    return amount


def usd_text(microusd: int) -> str:
    """Micro-USD as dollars: at least two decimal places, and as many as it needs."""
    whole, fraction = divmod(abs(microusd), MICROUSD)
    digits = f"{fraction:06d}".rstrip("0").ljust(2, "0")
    return f"{'-' if microusd < 0 else ''}{whole}.{digits}"

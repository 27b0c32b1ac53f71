"""Numbers as people read them at a glance."""

from datetime import timedelta

from projects.money import MICROUSD


def compact(number: float) -> str:
    """`950`, `1.2k`, `34M`."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return _short(number / size) + letter
    return _short(number)


def usd(microusd: float) -> str:
    """`$0.0042`, `$12.30`, `$1.2k`."""
    dollars = microusd / MICROUSD
    if dollars >= 10_000:
        return f"${compact(dollars)}"
    if dollars and dollars < 0.01:
        return f"${dollars:.6f}".rstrip("0")
    return f"${dollars:,.2f}"


def seconds(value: float | None) -> str:
    """`340 ms`, `1.2 s`, `2 min`; a dash where there is none."""
    if value is None:
        return "-"
    if value < 1:
        return f"{value * 1000:.0f} ms"
    return f"{_short(value)} s" if value < 120 else f"{value / 60:.0f} min"


def percent(part: float, whole: float) -> str:
    if not part or not whole:
        return "0 %"
    share = part / whole * 100
    return f"{share:.1f} %" if share < 10 else f"{share:.0f} %"


def remaining(time: timedelta) -> str:
    """The two largest units: `3 d 4 h`, `12 min`; `0 min` of what is over."""
    minutes = max(0, int(time.total_seconds() // 60))
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{minutes} min"


def _short(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0") if abs(number) < 10 else f"{number:.0f}"

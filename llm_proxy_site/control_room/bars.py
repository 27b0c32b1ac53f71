"""Bars that show how much of something is used or left, and badges that name a state. Pure."""

from django.utils.html import format_html
from django.utils.safestring import SafeString

NEARLY_PERCENT = 80


def bar(percent: float, look: str = "chart-first") -> SafeString:
    """It says nothing to who cannot see it: the number stands beside it."""
    width = max(0, min(100, round(percent)))
    return format_html(
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="bar-whole" width="100" height="10"/><rect class="{}" width="{}" height="10"/></svg>',
        look,
        width,
    )


def used_bar(used: float, whole: float) -> SafeString:
    """Of what is better not used up."""
    percent = used * 100 / whole if whole else 100
    look = "chart-bad" if percent >= 100 else "chart-second" if percent >= NEARLY_PERCENT else "chart-first"
    return bar(percent, look)


def badge(state: str, look: str) -> SafeString:
    """`look`: `good`, `warning`, `bad` or `quiet`."""
    return format_html('<span class="badge {}">{}</span>', look, state)

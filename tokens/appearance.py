"""How a token looks in the admin: its state as a badge, what is left of its life and requests as bars."""

from datetime import datetime

from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

from llm_proxy_site.control_room.bars import badge, bar, used_bar
from llm_proxy_site.control_room.figures import remaining
from tokens.models import AccessToken

LOOKS = {"active": "good", "exhausted": "warning", "revoked": "bad"}
ENDING_PERCENT = 20


def state_badge(token: AccessToken, now: datetime) -> SafeString:
    state = token.state(now)
    return badge(state, LOOKS.get(state, "quiet"))


def life_bar(token: AccessToken, now: datetime) -> str:
    """What is left, of the lifetime that it had when it was issued, renewed or extended last."""
    if token.expires_at is None:
        return "never ends"
    left = token.expires_at - now
    whole = token.expires_at - (token.renewed_at or token.created_at)
    percent = left / whole * 100 if whole else 0
    look = "chart-second" if percent <= ENDING_PERCENT else "chart-first"
    text = f"{remaining(left)} left" if percent > 0 else "over"
    return format_html("{}{}", text, bar(percent, look))


def requests_bar(token: AccessToken) -> str:
    if token.max_requests is None:
        return f"{token.request_count} / ∞"
    text = f"{token.request_count} / {token.max_requests}"
    return format_html("{}{}", text, used_bar(token.request_count, token.max_requests))


def rotation_text(token: AccessToken, now: datetime) -> str:
    ends_at = token.previous_digest_dies_at
    if ends_at is None or ends_at <= now:
        return "-"
    return f"the plain text before it works until {instant_text(ends_at)}"


def instant_text(instant: datetime | None) -> str:
    return date_format(instant, "DATETIME_FORMAT") if instant else "-"

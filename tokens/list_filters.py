"""The admin's filters of tokens: by state, and by what is about to become of them."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone

from tokens.models import STATES, AccessTokenQuerySet

SOON = timedelta(hours=24)
UNUSED = timedelta(days=7)


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state, state) for state in STATES]

    def queryset(self, request: HttpRequest, queryset: Any) -> AccessTokenQuerySet:
        tokens: AccessTokenQuerySet = queryset
        state = self.value()
        return tokens.in_state(state, timezone.now()) if state in STATES else tokens


class EndFilter(admin.SimpleListFilter):
    title = "what is near"
    parameter_name = "near"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("expiring", "expires within 24 hours"), ("unused", "alive, unused for 7 days")]

    def queryset(self, request: HttpRequest, queryset: Any) -> AccessTokenQuerySet:
        tokens: AccessTokenQuerySet = queryset
        now = timezone.now()
        if self.value() == "expiring":
            return tokens.in_state("active", now).filter(expires_at__lte=now + SOON)
        if self.value() == "unused":
            return tokens.in_state("active", now).unused_since(now - UNUSED)
        return tokens

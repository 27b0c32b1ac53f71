"""The ledger of requests, to be read, and the prices of models, to be set.

The ledger outlives projects and tokens, and an inner join would hide the rows whose project or token is gone:
so the two are fetched by id (prefetch), never joined (select_related).
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.db import models
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from audit.actors import of_user
from projects.models import Project
from projects.money import usd_text
from tokens.models import AccessToken
from usage import lifecycle
from usage.models import ModelPrice, UsageRecord
from usage.outcomes import CostSource
from usage.price_overrides import usd

if TYPE_CHECKING:
    RecordAdmin = admin.ModelAdmin[UsageRecord]
    PriceAdmin = admin.ModelAdmin[ModelPrice]
else:
    RecordAdmin = PriceAdmin = admin.ModelAdmin


class ShadowFilter(admin.SimpleListFilter):
    title = "rules in shadow mode"
    parameter_name = "shadow"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("refused", "would have been refused")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[UsageRecord]) -> QuerySet[UsageRecord]:
        return queryset.exclude(shadow_refusals="") if self.value() == "refused" else queryset


@admin.register(UsageRecord)
class UsageRecordAdmin(RecordAdmin):
    list_display = [
        "started_at",
        "project_name",
        "token_name",
        "endpoint",
        "model",
        "status",
        "outcome",
        "shadow_refusals",
        "input_tokens",
        "output_tokens",
        "cost",
        "duration",
    ]
    list_filter = ["outcome", "cost_source", ShadowFilter, "project"]
    search_fields = ["id", "upstream_request_id"]  # shows the box; get_search_results does the work
    search_help_text = "The whole x-llm-proxy-request-id, or upstream's whole x-request-id."
    show_full_result_count = False
    fieldsets = [
        (None, {"fields": ["id", "started_at", "project_name", "token_name"]}),
        ("Request", {"fields": ["method", "endpoint", "path", "is_stream", "model", "request_bytes"]}),
        (
            "Answer",
            {
                "fields": [
                    "outcome",
                    "status",
                    "error_code",
                    "shadow_refusals",
                    "is_admitted",
                    "attempts",
                    "response_bytes",
                    "upstream_request_id",
                ]
            },
        ),
        (
            "Model tokens",
            {
                "fields": [
                    "usage_source",
                    "input_tokens",
                    "output_tokens",
                    "cached_tokens",
                    "reasoning_tokens",
                    "cache_write_tokens",
                    "audio_input_tokens",
                    "audio_output_tokens",
                    "image_input_tokens",
                    "image_output_tokens",
                    "audio_seconds",
                    "service_tier",
                ]
            },
        ),
        ("Cost", {"fields": ["cost", "cost_source"]}),
        ("Time", {"fields": ["duration_seconds", "first_byte_seconds", "upstream_processing_seconds"]}),
    ]
    readonly_fields = ["project_name", "token_name", "cost"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: UsageRecord | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: UsageRecord | None = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[UsageRecord]:
        return super().get_queryset(request).prefetch_related("project", "token")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[UsageRecord], search_term: str
    ) -> tuple[QuerySet[UsageRecord], bool]:
        """Whole ids only: a search for parts would read the whole ledger."""
        text = search_term.strip()
        if not text:
            return queryset, False
        matches = Q(upstream_request_id=text)
        with suppress(ValueError):
            matches |= Q(id=UUID(text))
        return queryset.filter(matches), False

    @admin.display(description="project")
    def project_name(self, record: UsageRecord) -> str:
        try:
            return str(record.project)
        except Project.DoesNotExist:
            return f"{record.project_id} (gone)"

    @admin.display(description="token")
    def token_name(self, record: UsageRecord) -> str:
        try:
            return str(record.token)
        except AccessToken.DoesNotExist:
            return f"{record.token_id} (gone)"

    @admin.display(description="cost in USD", ordering="cost_microusd")
    def cost(self, record: UsageRecord) -> str:
        return str(CostSource.UNPRICED) if record.cost_microusd is None else usd_text(record.cost_microusd)

    @admin.display(description="duration", ordering="duration_seconds")
    def duration(self, record: UsageRecord) -> str:
        return f"{record.duration_seconds:.3f} s"


@admin.register(ModelPrice)
class ModelPriceAdmin(PriceAdmin):
    list_display = ["model", "input", "cached_input", "output", "updated_at"]
    search_fields = ["model"]
    fieldsets = [
        (None, {"fields": ["model"]}),
        (
            "US dollars per million model tokens",
            {
                "fields": [
                    "input_price",
                    "cached_input_price",
                    "output_price",
                    "audio_input_price",
                    "audio_output_price",
                ]
            },
        ),
        ("Limits", {"fields": ["context_window", "max_output_tokens"]}),
    ]

    @admin.display(description="input", ordering="input_price")
    def input(self, price: ModelPrice) -> str | None:
        return usd(price.input_price)

    @admin.display(description="cached input", ordering="cached_input_price")
    def cached_input(self, price: ModelPrice) -> str | None:
        return usd(price.cached_input_price)

    @admin.display(description="output", ordering="output_price")
    def output(self, price: ModelPrice) -> str | None:
        return usd(price.output_price)

    def formfield_for_dbfield(
        self, db_field: models.Field[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> forms.Field | None:
        if isinstance(db_field, models.DecimalField):
            kwargs["min_value"] = 0
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def save_model(
        self, request: HttpRequest, price: ModelPrice, form: forms.ModelForm[ModelPrice], change: bool
    ) -> None:
        lifecycle.set_price(price, actor=of_user(request.user))

    def delete_model(self, request: HttpRequest, price: ModelPrice) -> None:
        lifecycle.remove_price(price, actor=of_user(request.user))

    def delete_queryset(self, request: HttpRequest, prices: QuerySet[ModelPrice]) -> None:
        for price in prices:
            lifecycle.remove_price(price, actor=of_user(request.user))

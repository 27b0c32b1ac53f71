"""The ledger of requests, to be read, and the prices of models, to be set.

The ledger outlives projects and tokens, and an inner join would hide the rows whose project or token is gone:
so the two are fetched by id (prefetch), never joined (select_related).
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import unquote
from django.core.exceptions import BadRequest, PermissionDenied
from django.db import models
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path

from audit.actors import of_user
from projects.access import within_reach
from projects.list_filters import ProjectFilter
from projects.models import Project
from projects.money import usd_text
from tokens.models import AccessToken
from usage import lifecycle
from usage.captures.page import captured
from usage.export import export
from usage.list_filters import SeldomFilter, ShadowFilter, TimeFilter
from usage.models import ModelPrice, UsageRecord
from usage.outcomes import CostSource
from usage.paginator import BoundedPaginator
from usage.price_overrides import usd
from usage.record_page import fieldsets_of
from usage.timeline import timeline

if TYPE_CHECKING:
    RecordAdmin = admin.ModelAdmin[UsageRecord]
    PriceAdmin = admin.ModelAdmin[ModelPrice]
else:
    RecordAdmin = PriceAdmin = admin.ModelAdmin


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
        "input_tokens",
        "output_tokens",
        "cost",
        "duration",
    ]
    list_filter = [
        TimeFilter,
        ("outcome", SeldomFilter),
        ("cost_source", SeldomFilter),
        ShadowFilter,
        ("project", ProjectFilter),
    ]
    show_facets = admin.ShowFacets.NEVER  # they would count millions of rows
    search_fields = ["id", "upstream_request_id"]  # shows the box; get_search_results does the work
    search_help_text = "The whole x-llm-proxy-request-id, or upstream's whole x-request-id."
    show_full_result_count = False
    paginator = BoundedPaginator
    list_per_page = 50
    sortable_by = ["started_at"]  # no other order has an index
    readonly_fields = [
        "project_name",
        "token_name",
        "cost",
        "began",
        "timeline",
        "duration",
        "first_byte",
        "upstream_processing",
    ]

    def get_fieldsets(self, request: HttpRequest, obj: UsageRecord | None = None) -> list[Any]:
        return fieldsets_of(obj or UsageRecord())

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        record = self.get_object(request, unquote(object_id))
        may_view = record is not None and self.has_view_permission(request, record)
        bodies = captured(request, record) if record is not None and may_view else None
        return super().change_view(
            request, object_id, form_url, {"captured": bodies, **(extra_context or {})}
        )

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """What rules in shadow mode would have refused has a column where one looks for that."""
        if ShadowFilter.parameter_name not in request.GET:
            return self.list_display
        place = self.list_display.index("outcome") + 1
        return [*self.list_display[:place], "shadow_refusals", *self.list_display[place:]]

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.export_view)
        return [path("export/", view, name="usage_usagerecord_export"), *super().get_urls()]

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """What the list would show, filters and search as they are, and as long as it is."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            records = self.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters:
            raise BadRequest from None
        return StreamingHttpResponse(
            export(records),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": 'attachment; filename="usage.csv"'},
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: UsageRecord | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: UsageRecord | None = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[UsageRecord]:
        return within_reach(super().get_queryset(request), request.user).prefetch_related("project", "token")

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

    @admin.display(description="cost in USD")
    def cost(self, record: UsageRecord) -> str:
        return str(CostSource.UNPRICED) if record.cost_microusd is None else usd_text(record.cost_microusd)

    @admin.display(description="began")
    def began(self, record: UsageRecord) -> str:
        return f"{record.started_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"

    @admin.display(description="where it went")
    def timeline(self, record: UsageRecord) -> str:
        return timeline(record)

    @admin.display(description="duration")
    def duration(self, record: UsageRecord) -> str:
        return f"{record.duration_seconds:.3f} s"

    @admin.display(description="first byte after")
    def first_byte(self, record: UsageRecord) -> str:
        return f"{record.first_byte_seconds:.3f} s"

    @admin.display(description="upstream says that it worked for")
    def upstream_processing(self, record: UsageRecord) -> str:
        return f"{record.upstream_processing_seconds:.3f} s"


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

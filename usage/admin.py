"""The ledger of requests, to be read.

It outlives projects and tokens, and an inner join would hide the rows whose project or token is gone: so
the two are fetched by id (prefetch), never joined (select_related).
"""

from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from projects.models import Project
from tokens.models import AccessToken
from usage.models import UsageRecord

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[UsageRecord]
else:
    ModelAdmin = admin.ModelAdmin


@admin.register(UsageRecord)
class UsageRecordAdmin(ModelAdmin):
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
        "duration",
    ]
    list_filter = ["outcome", "project"]
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
                    "is_admitted",
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
                ]
            },
        ),
        ("Time", {"fields": ["duration_seconds", "first_byte_seconds", "upstream_processing_seconds"]}),
    ]
    readonly_fields = ["project_name", "token_name"]

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

    @admin.display(description="duration", ordering="duration_seconds")
    def duration(self, record: UsageRecord) -> str:
        return f"{record.duration_seconds:.3f} s"

"""The audit trail, to be read. Nobody adds to it, edits it or deletes from it here."""

from typing import TYPE_CHECKING

from django.contrib import admin
from django.http import HttpRequest

from audit.models import AuditEvent

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[AuditEvent]
else:
    ModelAdmin = admin.ModelAdmin


@admin.register(AuditEvent)
class AuditEventAdmin(ModelAdmin):
    list_display = ["occurred_at", "actor", "action", "subject_type", "subject_name", "subject_id"]
    list_filter = ["action", "subject_type", "occurred_at"]
    search_fields = ["actor", "subject_name", "subject_id"]
    search_help_text = "An actor, or the name or id of what was changed."
    show_full_result_count = False
    fields = [
        "id",
        "occurred_at",
        "actor",
        "action",
        "subject_type",
        "subject_name",
        "subject_id",
        "project_id",
        "details",
    ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: AuditEvent | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: AuditEvent | None = None) -> bool:
        return False

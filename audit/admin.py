"""The audit trail, to be read. Nobody adds to it, edits it or deletes from it here."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import QuerySet
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.urls import URLPattern, path, reverse

from audit import verification
from audit.actors import of_user
from audit.export import KINDS, exported
from audit.models import AuditChain, AuditEvent, visible_project_ids

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[AuditEvent]
else:
    ModelAdmin = admin.ModelAdmin


@admin.register(AuditEvent)
class AuditEventAdmin(ModelAdmin):
    list_display = [
        "sequence",
        "occurred_at",
        "actor",
        "action",
        "subject_type",
        "subject_name",
        "subject_id",
        "address",
    ]
    # Neither dates nor types of subjects to choose from: to find them, all of the trail would be read.
    list_filter = ["occurred_at", "action"]
    search_fields = ["actor", "subject_name", "subject_id", "=address"]
    search_help_text = "An actor, the name or id of what was changed, or an address."
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # they count every event for every value
    fields = [
        "sequence",
        "id",
        "occurred_at",
        "actor",
        "action",
        "subject_type",
        "subject_name",
        "subject_id",
        "project_id",
        "address",
        "request_id",
        "details",
        "previous_hash",
        "hash",
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEvent]:
        return AuditEvent.objects.visible_to(request.user)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: AuditEvent | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: AuditEvent | None = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("verify/", view(self.verify_view), name="audit_auditevent_verify"),
            path("export.<str:kind>", view(self.export_view), name="audit_auditevent_export"),
            *super().get_urls(),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {"sees_all": _sees_all(request), "kinds": list(KINDS), **(extra_context or {})}
        if context["sees_all"]:
            context["verification"] = verification.newest()
            context["anchor"] = AuditChain.objects.values_list("anchor_sequence", flat=True).first()
        return super().changelist_view(request, context)

    def verify_view(self, request: HttpRequest) -> HttpResponse:
        """Reads all of the trail, so it is for those who may. The list shows what was found."""
        if not (self.has_view_permission(request) and _sees_all(request)):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        verification.verify_and_note(actor=of_user(request.user))
        return HttpResponseRedirect(reverse("admin:audit_auditevent_changelist"))

    def export_view(self, request: HttpRequest, kind: str) -> StreamingHttpResponse:
        """What the list shows with the same filters, all of it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if kind not in KINDS:
            raise Http404
        try:
            events = self.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters:
            raise BadRequest from None
        return exported(events, kind)


def _sees_all(request: HttpRequest) -> bool:
    return visible_project_ids(request.user) is None

"""The admin's first page: what is spent, by whom, what fails, and what is about to end.

Everything is read from sums or from a few rows by index: the number of queries is bounded, and none reads the
ledger itself.
"""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils import timezone

from llm_proxy_site.control_room.budgets import nearing_their_end
from llm_proxy_site.control_room.expiring import expiring_soon
from llm_proxy_site.control_room.rankings import most_used, troubles
from llm_proxy_site.control_room.spans import Shown, shown
from llm_proxy_site.control_room.upstream_health import upstream_health
from llm_proxy_site.control_room.usage_summary import summary
from projects.access import Person, visible_project_ids
from usage.rollups import Scope


def dashboard(request: HttpRequest) -> TemplateResponse:
    now = timezone.now()
    over = shown(request.GET, now)
    return admin.site.index(request, {"dashboard": _contents(request.user, over, now), "over": over})


def scope_of(person: Person) -> Scope:
    """What they see."""
    ids = visible_project_ids(person)
    return Scope(project_ids=None if ids is None else frozenset(ids))


def _contents(person: Person, over: Shown, now: datetime) -> dict[str, Any]:
    """Each part for those who may see what it is made of."""
    scope = scope_of(person)
    contents: dict[str, Any] = {}
    if person.has_perm("usage.view_usagerecord"):
        contents["summary"] = summary(over, scope)
        contents["rankings"] = most_used(over.span, scope)
        contents["troubles"] = troubles(over.span, scope)
    if person.has_perm("tokens.view_accesstoken"):
        contents["budgets"] = nearing_their_end(scope, now)
        contents["expiring"] = expiring_soon(scope, now)
    if person.has_perm("projects.view_upstreamkey"):
        contents["health"] = upstream_health(scope, now)
    return contents

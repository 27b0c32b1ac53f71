"""Which upstreams and keys answer: breakers as this process sees them, keys as the database has them."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db.models import Q
from django.urls import reverse
from django.utils.safestring import SafeString

from llm_proxy_site.control_room.bars import badge
from projects.key_health import health_text
from projects.models import UpstreamKey
from proxy.breaker import State
from usage.rollups import Scope

if TYPE_CHECKING:
    from proxy.upstreams import BreakerState

FRESH = timedelta(hours=24)
"""A failure that is older says nothing."""
COUNT = 20
ANSWER_SECONDS = 2.0
LOOKS = {State.CLOSED: "good", State.HALF_OPEN: "warning", State.OPEN: "bad"}


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    state: str
    look: str
    """`good`, `warning` or `bad`."""
    note: str
    url: str = ""

    @property
    def badge(self) -> SafeString:
        return badge(self.state, self.look)


@dataclass(frozen=True, slots=True)
class Health:
    is_known: bool
    """Whether this process has served any request at all."""
    upstreams: list[Line]
    keys: list[Line]


def upstream_health(scope: Scope, now: datetime) -> Health:
    """One query. Of others' projects neither keys nor base URLs are told."""
    states = _breakers()
    troubled = Q(last_failed_at__gte=now - FRESH) | Q(cooling_until__gt=now)
    seen = [state.key_id for state in states or () if state.key_id is not None]
    rows = UpstreamKey.objects.filter(Q(is_active=True) & (troubled | Q(pk__in=seen))).select_related(
        "project"
    )
    if scope.project_ids is not None:
        rows = rows.filter(project_id__in=scope.project_ids)
    keys = {key.pk: key for key in rows}
    shown = {state.base_url for state in states or () if state.key_id in keys}
    upstreams = [
        _of_upstream(state)
        for state in states or ()
        if state.key_id is None and (scope.project_ids is None or state.base_url in shown)
    ]
    of_keys = {state.key_id: state for state in states or () if state.key_id is not None}
    lines = [_of_key(key, of_keys.get(key.pk), now) for key in keys.values()]
    lines.sort(key=lambda line: (line.look == "good", line.name))
    return Health(states is not None, upstreams[:COUNT], lines[:COUNT])


def _breakers() -> "list[BreakerState] | None":
    """None: the data plane is not started here, or too busy to say."""
    from proxy.runtime import Runtime  # late: commands load the URLs, and need not load the data plane

    runtime = Runtime.started()
    if runtime is None or not runtime.loop.is_running():
        return None

    async def ask() -> list["BreakerState"]:  # where they change
        return runtime.upstreams.snapshot()

    try:
        return asyncio.run_coroutine_threadsafe(ask(), runtime.loop).result(ANSWER_SECONDS)
    except TimeoutError:
        return None


def _of_upstream(state: "BreakerState") -> Line:
    note = f"{state.successes} connections, {state.failures} failed"
    return Line(state.base_url, state.state.value, LOOKS[state.state], note)


def _of_key(key: UpstreamKey, state: "BreakerState | None", now: datetime) -> Line:
    name = f"{key.project} {key}"
    url = reverse("admin:projects_project_change", args=[key.project_id])
    if key.cooling_until is not None and key.cooling_until > now:
        return Line(name, "rests", "bad", health_text(key, now).removeprefix("rests "), url)
    if state is not None and state.state is not State.CLOSED:
        return Line(name, state.state.value, LOOKS[state.state], f"{state.failures} failed", url)
    if key.last_failed_at is not None and key.last_failed_at > now - FRESH:
        return Line(name, "in use", "warning", health_text(key, now).removeprefix("in use; "), url)
    note = f"{state.successes} answers, {state.failures} failed" if state is not None else ""
    return Line(name, "well", "good", note, url)

"""GET /manage/health: how this process and its upstreams are, as it sees them now. Of upstream keys it tells
what any process has learnt, and stored.
"""

from typing import Any, Literal
from uuid import UUID

from ninja import Router, Schema

from llm_proxy_site.api.authentication import needs
from llm_proxy_site.api.caller import Request
from llm_proxy_site.api.scopes import ApiScope
from llm_proxy_site.health import run_checks
from llm_proxy_site.version import __version__
from projects.facts import key_facts
from projects.models import UpstreamKey as KeyRow
from projects.schemas import UpstreamKey
from proxy.runtime import Runtime
from proxy.upstreams import BreakerState

router = Router(tags=["health"])

READ = needs(ApiScope.HEALTH_READ, "projects.view_upstreamkey")


class Breaker(Schema):
    """Of the connections to a base URL, or of one key there. Counts are those of BREAKER_WINDOW_SECONDS."""

    base_url: str
    upstream_key_id: UUID | None
    state: Literal["closed", "open", "half-open"]
    successes: int
    failures: int


class Health(Schema):
    version: str
    checks: dict[str, str]
    is_proxying: bool
    """Whether this process has begun to pass requests on: before, it knows of no breaker."""
    breakers: list[Breaker]
    failing_keys: list[UpstreamKey]


@router.get(
    "",
    auth=READ,
    response=Health,
    operation_id="get_health",
    summary="Show how the proxy and its upstreams are",
)
def get_health(request: Request) -> dict[str, Any]:
    keys = request.auth.within_reach(KeyRow.objects.select_related("project"))
    runtime = Runtime.started()
    states = [] if runtime is None else runtime.ask(runtime.upstreams.snapshot)
    return {
        "version": __version__,
        "checks": run_checks(),
        "is_proxying": runtime is not None,
        "breakers": [_facts(state) for state in _visible(states, request)],
        "failing_keys": [key_facts(key) for key in keys.exclude(last_failed_at=None)],
    }


def _visible(states: list[BreakerState], request: Request) -> list[BreakerState]:
    """Those of the keys that the caller sees, and of the upstreams to which these lead."""
    if request.auth.project_ids is None:
        return states
    asked = [state.key_id for state in states if state.key_id]
    seen = set(request.auth.within_reach(KeyRow.objects.filter(pk__in=asked)).values_list("pk", flat=True))
    urls = {state.base_url for state in states if state.key_id in seen}
    return [state for state in states if (state.key_id or state.base_url) in (seen | urls)]


def _facts(state: BreakerState) -> dict[str, Any]:
    return {
        "base_url": state.base_url,
        "upstream_key_id": state.key_id,
        "state": state.state.value,
        "successes": state.successes,
        "failures": state.failures,
    }

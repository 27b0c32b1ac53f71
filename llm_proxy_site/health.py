"""Health endpoints. `/live`: this process answers. `/ready`: it can do its work, or which part cannot."""

from collections.abc import Callable

from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from llm_proxy_site.server import lifecycle
from llm_proxy_site.version import __version__

OK = "ok"


@require_safe
def live(request: HttpRequest) -> JsonResponse:
    return _uncached(JsonResponse({"status": OK}))


@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """200, or 503 with the part that fails."""
    checks = _run_checks()
    is_ready = all(result == OK for result in checks.values())
    return _uncached(
        JsonResponse(
            {"status": OK if is_ready else "unready", "checks": checks}, status=200 if is_ready else 503
        )
    )


@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """The version, and the checks of `/ready`; always 200: for people, not for load balancers."""
    return _uncached(JsonResponse({"status": OK, "version": __version__, "checks": _run_checks()}))


def _run_checks() -> dict[str, str]:
    checks: dict[str, Callable[[], str]] = {
        "database": _database,
        "migrations": _migrations,
        "serving": _serving,
    }
    return {name: check() for name, check in checks.items()}


def _database() -> str:
    try:
        with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        return "unreachable"
    return OK


def _migrations() -> str:
    try:
        executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
        waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except Error:
        return "unknown"
    return f"{len(waiting)} not applied" if waiting else OK


def _serving() -> str:
    return "draining" if lifecycle.is_draining() else OK


def _uncached(response: JsonResponse) -> JsonResponse:
    response["Cache-Control"] = "no-store"
    return response

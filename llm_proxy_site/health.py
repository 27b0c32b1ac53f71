"""Health endpoints. `/live`: this process answers. `/ready`: it can do its work, or which part cannot.

They are a middleware, the first: a probe names the host by its address, which ALLOWED_HOSTS does not know.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import Error, connection
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.views.decorators.http import require_safe
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from llm_proxy_site.schema import unapplied_migrations
from llm_proxy_site.server import lifecycle
from llm_proxy_site.version import __version__

if TYPE_CHECKING:
    from proxy.runtime import Runtime

OK = "ok"
LIMITS_ARE_LOCAL = "unreachable, limits are local"
"""Said of Redis where the settings permit to go on without it: such a process is ready."""
IN_GRACE = "unreachable, known tokens go on"
"""Said of the database. To take all processes out of service would make its outage one of everything."""
UNKNOWN = "unknown"
_known: set[str] = set()


def middleware(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    views = {"/live": live, "/ready": ready, "/health": health}

    def answer(request: HttpRequest) -> HttpResponseBase:
        return views.get(request.path, get_response)(request)

    return answer


@require_safe
def live(request: HttpRequest) -> JsonResponse:
    return _uncached(JsonResponse({"status": OK}))


@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """200, or 503 with the part that fails. `degraded` is 200: what can be done without that part is done."""
    checks = run_checks()
    status = _status(checks)
    return _uncached(
        JsonResponse({"status": status, "checks": checks}, status=503 if status == "unready" else 200)
    )


@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """The version, and the checks of `/ready`; always 200: for people, not for load balancers."""
    return _uncached(JsonResponse({"status": OK, "version": __version__, "checks": run_checks()}))


def _status(checks: dict[str, str]) -> str:
    troubles = {name: result for name, result in checks.items() if result not in (OK, LIMITS_ARE_LOCAL)}
    if not troubles:
        return OK
    if checks["database"] == IN_GRACE:
        if checks["migrations"] == UNKNOWN:
            del troubles["migrations"]  # the process has begun with them
        if not _is_dead(checks.get("changes", OK)):
            troubles.pop("changes", None)  # they are asked of the database
    return "degraded" if all(map(_is_borne, troubles, troubles.values())) else "unready"


def _is_borne(name: str, result: str) -> bool:
    """Whether requests go on as they should. Usage waits in the spool."""
    return result == IN_GRACE or name == "spool" or (name == "ledger" and not _is_dead(result))


def _is_dead(result: str) -> bool:
    return result.endswith("has died")


def run_checks() -> dict[str, str]:
    checks: dict[str, Callable[[], str]] = {
        "database": _database,
        "migrations": _migrations,
        "serving": _serving,
    }
    if settings.REDIS_URL:
        checks["redis"] = _redis
    if (runtime := _runtime()) is not None:
        checks["changes"] = lambda: runtime.poller.state or OK
        checks["ledger"] = lambda: runtime.ledger.state or OK
        checks["spool"] = lambda: runtime.spool.state or OK
    return {name: check() for name, check in checks.items()}


def _database() -> str:
    runtime = _runtime()
    if runtime is not None and runtime.reach.is_away:  # a probe need not wait for it
        return IN_GRACE if runtime.reach.is_in_grace else "unreachable"
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        return IN_GRACE if runtime is not None and runtime.reach.is_in_grace else "unreachable"
    if runtime is not None:
        runtime.reach.answered()
    return OK


def _migrations() -> str:
    """Once they are applied they stay so: another look would cost a walk through all of them."""
    if "migrated" in _known:
        return OK
    runtime = _runtime()
    if runtime is not None and runtime.reach.is_away:
        return UNKNOWN
    try:
        waiting = unapplied_migrations()
    except Error:
        return UNKNOWN
    if waiting:
        return f"{waiting} not applied"
    _known.add("migrated")
    return OK


def _serving() -> str:
    return "draining" if lifecycle.is_draining() else OK


def _redis() -> str:
    seconds = settings.REDIS_TIMEOUT_SECONDS
    try:
        with Redis.from_url(
            settings.REDIS_URL,
            socket_timeout=seconds,
            socket_connect_timeout=seconds,
            retry=Retry(NoBackoff(), 0),
        ) as redis:
            redis.ping()
    except (RedisError, OSError):
        return LIMITS_ARE_LOCAL if settings.LIMITS_WITHOUT_REDIS == "local" else "unreachable"
    return OK


def _runtime() -> "Runtime | None":
    # Late: commands, whose checks load the middleware, need not load the data plane.
    from proxy.runtime import Runtime

    return Runtime.started()


def _uncached(response: JsonResponse) -> JsonResponse:
    response["Cache-Control"] = "no-store"
    return response

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

from llm_proxy_site.schema import lacking_migrations
from llm_proxy_site.server import lifecycle
from llm_proxy_site.version import __version__
from tokens.limits.link import probe_key

if TYPE_CHECKING:
    from proxy.runtime import Runtime

OK = "ok"
LIMITS_ARE_LOCAL = "unreachable, limits are local"
"""Said of Redis where the settings permit to go on without it."""
LIMITED_ARE_REFUSED = "unreachable, limited tokens are refused"
"""Said of Redis where they do not: all else goes on."""
UNREACHABLE = "unreachable"
IN_GRACE = "unreachable, known tokens go on"
"""Said of the database. To take all processes out of service would make its outage one of everything."""
UNKNOWN = "unknown"


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
    """Whether this process goes on with what it can do, as well as others could. Usage waits in the spool."""
    return name in ("redis", "spool") or result == IN_GRACE or (name == "ledger" and not _is_dead(result))


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
    if runtime is None:
        return OK if _database_answers() else UNREACHABLE
    reach = runtime.reach
    if not reach.is_away:
        if reach.is_heard:  # a probe need not wait for an answer that may not come
            return OK
        if _database_answers():
            reach.answered()
            return OK
        reach.keeps_waiting()
    return IN_GRACE if reach.is_in_grace else UNREACHABLE


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        return False
    return True


def _migrations() -> str:
    try:
        lacking = lacking_migrations()
    except Error:
        return UNKNOWN
    return f"{lacking} not applied" if lacking else OK


def _serving() -> str:
    return "draining" if lifecycle.is_draining() else OK


def _redis() -> str:
    away = LIMITS_ARE_LOCAL if settings.LIMITS_WITHOUT_REDIS == "local" else LIMITED_ARE_REFUSED
    runtime = _runtime()
    if runtime is not None and runtime.limits.is_away:
        return away
    seconds = settings.REDIS_TIMEOUT_SECONDS
    try:
        with Redis.from_url(
            settings.REDIS_URL,
            socket_timeout=seconds,
            socket_connect_timeout=seconds,
            retry=Retry(NoBackoff(), 0),
        ) as redis:
            redis.set(probe_key(), b"", px=1000)
    except (RedisError, OSError):
        return away
    return OK


def _runtime() -> "Runtime | None":
    # Late: commands, whose checks load the middleware, need not load the data plane.
    from proxy.runtime import Runtime

    return Runtime.started()


def _uncached(response: JsonResponse) -> JsonResponse:
    response["Cache-Control"] = "no-store"
    return response

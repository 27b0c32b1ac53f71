"""What a server says as it starts: what it runs with, and what its operator should mend. Never a password."""

import platform
from typing import Any
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.core.checks import WARNING, CheckMessage, Tags, run_checks

from llm_proxy_site.addresses import Address
from llm_proxy_site.checks import TAG
from llm_proxy_site.server_checks import problems_of_address, problems_of_sharing, problems_of_workers
from llm_proxy_site.version import __version__
from proxy.configuration import configured_providers
from proxy.tracing import configuration as tracing

log = structlog.get_logger("server")


def report(address: Address, server: str, workers: int) -> None:
    """One event with all facts for programs, a line for each for people; then a warning for each problem."""
    is_for_people = settings.LOG_FORMAT == "console"
    facts = facts_of(address, server, workers)
    if is_for_people:
        for name, value in facts.items():
            log.info(f"{name:<10} {', '.join(value) if isinstance(value, list) else value}")
    else:
        log.info("starting", **facts)
    for problem in problems(address, workers):
        if is_for_people:
            log.warning(" ".join(filter(None, ("to mend:  ", problem.msg, problem.hint, f"({problem.id})"))))
        else:
            log.warning("to mend", check=problem.id, problem=problem.msg, hint=problem.hint)


def facts_of(address: Address, server: str, workers: int) -> dict[str, Any]:
    return {
        "version": __version__,
        "python": platform.python_version(),
        "address": str(address),
        "server": server,
        "workers": workers,
        "database": _database(),
        "redis": _without_secrets(settings.REDIS_URL) if settings.REDIS_URL else "none",
        "limits": _limits(),
        "providers": [f"{name} ({url})" for name, url in configured_providers().base_urls.items()],
        "metrics": _metrics(),
        "traces": _traces(),
        "spool": str(settings.SPOOL_DIR),
        "schedule": "on" if settings.SCHEDULE else "off",
    }


def problems(address: Address, workers: int) -> list[CheckMessage]:
    """As `check --deploy` says them, and what the command line makes of it."""
    found = [
        *run_checks(tags=[TAG, Tags.security], include_deployment_checks=True),
        *problems_of_workers(workers),
        *problems_of_sharing(workers),
        *problems_of_address(address),
    ]
    told = {(each.id, each.msg): each for each in found}
    return [each for each in told.values() if each.level >= WARNING and not each.is_silenced()]


def _database() -> str:
    database = settings.DATABASES["default"]
    engine = database["ENGINE"].rpartition(".")[2]
    if not database.get("HOST"):
        return f"{engine} {database['NAME']}"
    port = f":{database['PORT']}" if database.get("PORT") else ""
    return f"{engine} {database['NAME']} at {database['HOST']}{port}"


def _limits() -> str:
    if not settings.REDIS_URL:
        return "in the memory of this process"
    away = "refused" if settings.LIMITS_WITHOUT_REDIS == "refuse" else "counted by each process"
    return f"in Redis; without it {away}"


def _metrics() -> str:
    conditions = {"a token": settings.METRICS_TOKEN, "its networks": settings.METRICS_NETWORKS}
    asked = [name for name, is_asked in conditions.items() if is_asked]
    return f"on, for {' and '.join(asked)}" if asked else "off"


def _traces() -> str:
    if not tracing.is_on():
        return "off"
    context = "with" if settings.TRACE_CONTEXT_UPSTREAM else "without"
    endpoint = _without_secrets(settings.TRACES_ENDPOINT)
    return f"to {endpoint}, {settings.TRACES_SAMPLER}, {context} context to upstream"


def _without_secrets(url: str) -> str:
    """Of its user, password and query, where passwords may stand too, nothing."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()

"""System checks of what serves, and of what several processes must share."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, register

from llm_proxy_site.addresses import Address
from llm_proxy_site.checks import TAG
from llm_proxy_site.environment import SQLITE
from llm_proxy_site.front_checks import THIS_MACHINE
from llm_proxy_site.server.choice import SERVERS, missing_modules


@register(TAG)
def check_redis(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    if settings.REDIS_URL and not _is_redis_url(settings.REDIS_URL):
        return [
            Error(
                "REDIS_URL is not the URL of a Redis.",
                hint="Give redis://HOST:PORT/DB, rediss:// for TLS, or unix://PATH. Special characters of a "
                "password must be percent-encoded.",
                id="llm_proxy.E007",
            )
        ]
    return []


@register(TAG)
def check_limits_without_redis(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    if settings.LIMITS_WITHOUT_REDIS not in ("refuse", "local"):
        return [
            Error(
                "LIMITS_WITHOUT_REDIS must be refuse or local.",
                hint="refuse: answer 503 while Redis is away. local: each process counts its own requests.",
                id="llm_proxy.E008",
            )
        ]
    return []


@register(TAG)
def check_server(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    if settings.SERVER not in SERVERS:
        return [
            Error(
                f"SERVER must be {' or '.join(SERVERS)}.",
                hint="daphne: what comes with every installation. uvicorn: faster, and an extra.",
                id="llm_proxy.E021",
            )
        ]
    return problems_of_server(settings.SERVER)


def problems_of_server(name: str) -> list[CheckMessage]:
    """What keeps this server from running. `serve --server` asks for itself."""
    missing = missing_modules(name)
    if not missing:
        return []
    return [
        Error(
            f"The server {name} is not installed: {', '.join(missing)} cannot be found.",
            hint="`make fast`, or `pip install --require-hashes -r requirements-fast.txt`.",
            id="llm_proxy.E022",
        )
    ]


@register(TAG)
def check_workers(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    return problems_of_workers(settings.WORKERS)


def problems_of_workers(count: int) -> list[CheckMessage]:
    """What keeps so many processes from sharing what they must share. `serve --workers` asks for itself."""
    if count == 1:
        return []
    if not settings.REDIS_URL:
        return [
            Error(
                f"{count} workers need a Redis: without one each would count limits and budgets for itself.",
                hint="Set REDIS_URL, or serve with one worker.",
                id="llm_proxy.E020",
            )
        ]
    if settings.LIMITS_WITHOUT_REDIS == "local":
        return [
            checks.Warning(
                f"While Redis is away, {count} workers may together admit {count} times what limits allow.",
                hint="LIMITS_WITHOUT_REDIS=refuse answers 503 to limited tokens instead.",
                id="llm_proxy.W020",
            )
        ]
    return []


@register(TAG, deploy=True)
def check_database_of_workers(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    return problems_of_sharing(settings.WORKERS)


def problems_of_sharing(workers: int) -> list[CheckMessage]:
    """What works, and may not be enough for so many. `serve` says it for `--workers`."""
    if workers == 1 or settings.DATABASES["default"]["ENGINE"] != SQLITE:
        return []
    return [
        checks.Warning(
            f"{workers} workers write into one SQLite file, one after the other.",
            hint="Where the ledger falls behind, or the file is not on a local disk: PostgreSQL.",
            id="llm_proxy.W021",
        )
    ]


def problems_of_address(address: Address) -> list[CheckMessage]:
    """Of the one that is listened on. Who has named this machine alone means it: a container must listen for
    others, even if its port is published to this machine only.
    """
    if settings.NAMED_HOSTS or address.host in {*THIS_MACHINE, "::1"}:
        return []
    return [
        checks.Warning(
            f"It listens on {address}, and the admin site answers under names of this machine only.",
            hint="Set ALLOWED_HOSTS to the names by which it is reached, be it localhost alone.",
            id="llm_proxy.W022",
        )
    ]


def _is_redis_url(url: str) -> bool:
    from redis import ConnectionPool  # late: 0.1 s, which commands need not pay where there is no Redis

    try:
        ConnectionPool.from_url(url).make_connection()
    except (ValueError, TypeError):
        return False
    return True

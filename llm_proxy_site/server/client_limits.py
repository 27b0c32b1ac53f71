"""What one client, one address and all clients may take of the server: time, and connections."""

import resource
from dataclasses import dataclass, replace
from typing import Any

import structlog

OVERSHOOT = 128
"""Connections that may be accepted at once with the one that takes the last place."""
OWN_FILES = 128
"""Files that the process has open besides connections: the database, logs, Redis, the spool."""

log = structlog.get_logger("server")


@dataclass(frozen=True, slots=True)
class ClientLimits:
    header_seconds: float = 10
    """For the head of a request, however it comes: from its first byte, or from the connection."""
    idle_seconds: float = 100
    """Between two requests of a connection: longer than the usual clients keep one (`draining.py`)."""
    body_seconds: float = 30
    """In which at least one byte of an awaited body comes."""
    body_bytes_per_second: int = 100
    """Of an awaited body, on the average of a minute; 0: no matter."""
    write_seconds: float = 120
    """In which a client takes at least one byte of what waits for it."""
    max_connections: int = 5000
    max_connections_per_address: int = 1000
    """0: no matter."""


DEFAULT_LIMITS = ClientLimits()


def limits_of(settings: Any) -> ClientLimits:
    """As the settings have them, with no more connections than files can be opened."""
    wanted = ClientLimits(
        header_seconds=settings.CLIENT_HEADER_TIMEOUT_SECONDS,
        idle_seconds=settings.CLIENT_IDLE_TIMEOUT_SECONDS,
        body_seconds=settings.CLIENT_BODY_TIMEOUT_SECONDS,
        body_bytes_per_second=settings.CLIENT_BODY_MIN_BYTES_PER_SECOND,
        write_seconds=settings.CLIENT_WRITE_TIMEOUT_SECONDS,
        max_connections=settings.MAX_CONNECTIONS,
        # Behind a front all connections are the front's.
        max_connections_per_address=(
            0 if settings.TRUSTED_PROXY_COUNT else settings.MAX_CONNECTIONS_PER_ADDRESS
        ),
    )
    upstream = 2 * settings.UPSTREAM_MAX_CONNECTIONS  # WebSockets have as many of their own
    files = _raise_file_limit(wanted.max_connections + upstream + OVERSHOOT + OWN_FILES)
    fitting = connections_in(files, upstream)
    if fitting >= wanted.max_connections:
        return wanted
    log.warning(
        "the limit of open files bounds connections",
        files=files,
        max_connections=fitting,
        wanted=wanted.max_connections,
    )
    return replace(wanted, max_connections=fitting)


def connections_in(files: int, upstream: int) -> int:
    """How many clients fit: each takes at most one connection to upstream."""
    return max(files - upstream - OVERSHOOT - OWN_FILES, (files - OWN_FILES) // 2, 1)


def _raise_file_limit(wanted: int) -> int:
    """The soft limit, up to what the hard one permits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        return limit
    return wanted if soft == resource.RLIM_INFINITY else soft

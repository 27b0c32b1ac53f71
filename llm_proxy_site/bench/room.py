"""Room for many connections: no bound of a target's own is to be met before its work is too much."""

import resource

MAX_CONNECTIONS = 5000
"""Of clients to a target, and of a target to upstream."""


def raise_file_limit() -> None:
    """Of this process, and of those that it starts: as far as that is permitted."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

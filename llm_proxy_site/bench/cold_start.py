"""From the start of a process to its first answer, as after a deployment or where processes come and go."""

import time
from collections.abc import Sequence

from llm_proxy_site.bench.targets import Server, rotated, wait_for_answer


def cold_starts(servers: Sequence[Server], *, rounds: int) -> dict[str, tuple[float, ...]]:
    """Seconds of each round by the server's name. Raises ChildFailedError."""
    seconds: dict[str, list[float]] = {server.name: [] for server in servers}
    for number in range(rounds):
        for server in rotated(servers, number):
            seconds[server.name].append(_cold_start(server))
    return {name: tuple(each) for name, each in seconds.items()}


def _cold_start(server: Server) -> float:
    began = time.perf_counter()
    with server.start() as targets:
        wait_for_answer(targets[0])
        return time.perf_counter() - began

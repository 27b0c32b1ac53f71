"""What the supervisor and its workers say to each other, on a pair of sockets: a line of words each time.

The worker says once that it is ready, and how long it may take to end; the supervisor says how to end. A line
that breaks says that the other one is gone.
"""

from dataclasses import dataclass
from enum import StrEnum


class Order(StrEnum):
    """How a worker is told to end."""

    RETIRE = "retire"
    """Another has taken its place: when its last client has gone, with no hurry."""
    STOP = "stop"
    """All of them end: within the grace."""
    QUIT = "quit"
    """At once."""


@dataclass(frozen=True, slots=True)
class Grace:
    """For how long running requests may go on, in seconds."""

    stop: float
    """After SIGTERM or STOP."""
    restart: float = 0.0
    """After RETIRE; then those of `stop` begin."""


def say_ready(grace: Grace) -> bytes:
    return f"ready {grace.stop} {grace.restart}\n".encode()


def read_ready(line: bytes) -> Grace | None:
    """None if it is not what a worker says when it is ready."""
    words = line.split()
    if len(words) != 3 or words[0] != b"ready" or not line.endswith(b"\n"):
        return None
    return Grace(stop=float(words[1]), restart=float(words[2]))

"""From where an act came: kept beside the code that acts, so that whoever records it need not be told."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Origin:
    address: str = ""
    """Of the client; empty where there is none, or it cannot be known."""
    request_id: UUID | None = None


NOWHERE = Origin()
"""Of commands and of what the server does by itself."""
_current: ContextVar[Origin] = ContextVar("audit_origin", default=NOWHERE)


def current() -> Origin:
    return _current.get()


@contextmanager
def acting_from(origin: Origin) -> Iterator[None]:
    """What is recorded meanwhile came from there."""
    token = _current.set(origin)
    try:
        yield
    finally:
        _current.reset(token)

"""What the data plane has learnt of upstream keys, kept for people to read. Nothing is decided by it."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from projects.encryption import position_of
from projects.models import UpstreamKey


class Health(Protocol):
    """Of a key that has failed. Instants are seconds since the epoch."""

    @property
    def key_id(self) -> UUID: ...
    @property
    def failure_code(self) -> str: ...
    @property
    def failed_at(self) -> float: ...
    @property
    def cooling_until(self) -> float: ...


def health_text(key: UpstreamKey, now: datetime) -> str:
    """In one line."""
    if position_of(key.ciphertext) is None:
        return "no key in ENCRYPTION_KEYS decrypts it"
    if key.last_failed_at is None:
        return "well"
    failed_at = key.last_failed_at.isoformat(timespec="seconds").replace("+00:00", "Z")
    if key.cooling_until is None or key.cooling_until <= now:
        return f"in use; {key.last_failure_code} at {failed_at}"
    return (
        f"rests for {(key.cooling_until - now).total_seconds():.0f} s; {key.last_failure_code} at {failed_at}"
    )


def store_health(healths: Iterable[Health]) -> None:
    """Runs in a worker thread. `updated_at` stays: no grant is to be read anew for it."""
    for health in sorted(healths, key=lambda health: health.key_id):
        UpstreamKey.objects.filter(pk=health.key_id).update(
            last_failure_code=health.failure_code,
            last_failed_at=datetime.fromtimestamp(health.failed_at, UTC),
            cooling_until=datetime.fromtimestamp(health.cooling_until, UTC) if health.cooling_until else None,
        )

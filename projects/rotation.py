"""Encrypts secrets anew with the first of ENCRYPTION_KEYS, batch by batch, while the proxy goes on: upstream
keys, and whatever else is Concealed.

A row needs it if the first key alone does not decrypt it: so it can be stopped and started at any time. The
secrets stay what they are: `updated_at` is not moved, and no grant is dropped.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.apps import apps
from django.db import transaction

from audit import trail
from projects.concealed import Concealed
from projects.encryption import UndecryptableError, position_of, reencrypt

BATCH_ROWS = 100
LARGE_BATCH_ROWS = 10
"""Of those that are one of many."""


@dataclass(frozen=True, slots=True)
class Rotation:
    rotated: int
    unreadable: int
    """No key in ENCRYPTION_KEYS decrypts these."""


def count() -> int:
    return sum(model._default_manager.count() for model in _models())


def count_by_key() -> Counter[int | None]:
    """How many secrets are under each of ENCRYPTION_KEYS, by its position; None: under none of them."""
    counts: Counter[int | None] = Counter()
    for model in _models():
        for batch in _batches(model):
            counts.update(position_of(row.ciphertext) for row in batch)
    return counts


def rotate(*, actor: str, on_batch: Callable[[int], None] = lambda secrets: None) -> Rotation:
    """`on_batch` hears how many secrets were looked at."""
    rotated, unreadable = 0, 0
    for model in _models():
        before = rotated
        for batch in _batches(model):
            for row in batch:
                try:
                    rotated += _rotate(row, actor)
                except UndecryptableError:
                    unreadable += 1
            on_batch(len(batch))
        if model.IS_ONE_OF_MANY and rotated > before:
            details = {"rows": rotated - before}
            trail.record_act(
                f"{model.AUDITED_AS}.reencrypted", model.AUDITED_AS, actor=actor, details=details
            )
    return Rotation(rotated, unreadable)


def _models() -> Iterator[type[Concealed]]:
    return (model for model in apps.get_models() if issubclass(model, Concealed))


def _batches(model: type[Concealed]) -> Iterator[list[Concealed]]:
    rows = model._default_manager.order_by("pk")
    size = LARGE_BATCH_ROWS if model.IS_ONE_OF_MANY else BATCH_ROWS
    batch = list(rows[:size])
    while batch:
        yield batch
        batch = list(rows.filter(pk__gt=batch[-1].pk)[:size])


@transaction.atomic
def _rotate(row: Concealed, actor: str) -> bool:
    """Unless it is under the first key already, or was replaced or deleted meanwhile."""
    if position_of(row.ciphertext) == 0:
        return False
    same = type(row)._default_manager.filter(pk=row.pk, ciphertext=row.ciphertext)
    if not same.update(ciphertext=reencrypt(row.ciphertext)):
        return False
    if not row.IS_ONE_OF_MANY:
        project_id = getattr(row, "project_id", None)
        trail.record(f"{row.AUDITED_AS}.reencrypted", row, actor=actor, project_id=project_id)
    return True

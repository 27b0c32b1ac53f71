"""Encrypts upstream keys anew with the first of ENCRYPTION_KEYS, batch by batch, while the proxy goes on.

A row needs it if the first key alone does not decrypt it: so it can be stopped and started at any time. The
plain keys stay what they are: `updated_at` is not moved, and no grant is dropped.
"""

from collections import Counter
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction

from audit import trail
from projects.encryption import UndecryptableError, position_of, reencrypt
from projects.models import UpstreamKey

BATCH_ROWS = 100


@dataclass(frozen=True, slots=True)
class Rotation:
    rotated: int
    unreadable: int
    """No key in ENCRYPTION_KEYS decrypts these."""


def count_by_key() -> Counter[int | None]:
    """How many upstream keys are under each of ENCRYPTION_KEYS, by its position; None: under none of them."""
    ciphertexts = UpstreamKey.objects.order_by().values_list("ciphertext", flat=True)
    return Counter(map(position_of, ciphertexts.iterator()))


def rotate(*, actor: str) -> Rotation:
    rotated, unreadable, last = 0, 0, UUID(int=0)
    while True:
        batch = list(UpstreamKey.objects.filter(pk__gt=last).order_by("pk")[:BATCH_ROWS])
        if not batch:
            return Rotation(rotated, unreadable)
        for key in batch:
            try:
                rotated += _rotate(key, actor)
            except UndecryptableError:
                unreadable += 1
        last = batch[-1].pk


@transaction.atomic
def _rotate(key: UpstreamKey, actor: str) -> bool:
    """Unless it is under the first key already, or was replaced or deleted meanwhile."""
    if position_of(key.ciphertext) == 0:
        return False
    same = UpstreamKey.objects.filter(pk=key.pk, ciphertext=key.ciphertext)
    if not same.update(ciphertext=reencrypt(key.ciphertext)):
        return False
    trail.record("upstream_key.reencrypted", key, actor=actor, project_id=key.project_id)
    return True

"""What is done to any number of access tokens: batch by batch, each one transaction with an event a token."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from audit import trail
from tokens.models import AccessToken, AccessTokenQuerySet

BATCH_ROWS = 500
DELETED_AFTER = timedelta(hours=1)
"""A row is kept so long after its token's death: a server that has not heard of that yet must find it."""


def revoke_many(tokens: AccessTokenQuerySet, *, actor: str, now: datetime) -> int:
    """Revoke those of the tokens that are not revoked yet; how many that were."""

    def revoke(batch: AccessTokenQuerySet) -> None:
        batch.update(is_active=False, revoked_at=now, updated_at=timezone.now())

    return _in_batches(tokens.filter(revoked_at=None), revoke, action="token.revoked", actor=actor)


def deactivate_expired(*, actor: str, now: datetime) -> int:
    """Switch off the tokens whose lifetime or idle lifetime has ended; how many that were."""

    def deactivate(batch: AccessTokenQuerySet) -> None:
        batch.update(is_active=False, updated_at=timezone.now())

    return _in_batches(
        AccessToken.objects.filter(is_active=True).expired(now),
        deactivate,
        action="token.deactivated",
        actor=actor,
        details=lambda token: {"reason": token.state(now)},
    )


def deletable(*, dead_for: timedelta, now: datetime) -> AccessTokenQuerySet:
    """The tokens that have been dead for so long, and for DELETED_AFTER."""
    return AccessToken.objects.dead_before(now - max(dead_for, DELETED_AFTER))


def delete_dead(*, dead_for: timedelta, actor: str, now: datetime) -> int:
    """Delete the deletable; how many that were. What the ledger has of them stays."""

    def delete(batch: AccessTokenQuerySet) -> None:
        batch.delete()

    return _in_batches(deletable(dead_for=dead_for, now=now), delete, action="token.deleted", actor=actor)


def _in_batches(
    tokens: AccessTokenQuerySet,
    act: Callable[[AccessTokenQuerySet], None],
    *,
    action: str,
    actor: str,
    details: Callable[[AccessToken], dict[str, Any]] = lambda token: {},
) -> int:
    """Do `act` to all of them, locked. It takes them out of the queryset, and sets `updated_at` to its own
    instant: that of the whole may be longer ago, for the last batch, than the change poller looks back.
    """
    done = 0
    while True:
        with transaction.atomic():
            batch = list(tokens.order_by("pk").select_for_update()[:BATCH_ROWS])
            if not batch:
                return done
            trail.record_all(
                action, [(token, token.project_id, details(token)) for token in batch], actor=actor
            )
            act(AccessToken.objects.filter(pk__in=[token.pk for token in batch]))
        done += len(batch)

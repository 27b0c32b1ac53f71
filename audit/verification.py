"""Verifying the chain, with a result that stays: to read all of it takes long, to look does not."""

from typing import Any

import structlog
from django.db import DatabaseError, transaction
from django.utils import timezone

from audit.chain import verify
from audit.models import ChainVerification

log = structlog.get_logger("audit")


def verify_and_note(*, actor: str) -> ChainVerification:
    """The result, which is kept where the database can be written."""
    verdict = verify()
    result = {
        "verified_at": timezone.now(),
        "actor": actor[:150],
        "events": verdict.events,
        "broken_at": verdict.broken_at,
        "problem": verdict.problem,
    }
    try:
        with transaction.atomic():
            ChainVerification.objects.update_or_create(pk=ChainVerification.ONLY, defaults=result)
    except DatabaseError as problem:
        log.warning("the result of verifying the audit trail cannot be kept", error=str(problem))
    return ChainVerification(**result)


def verification_facts(found: ChainVerification | None) -> dict[str, Any]:
    """As plain data; all None if the chain was never verified."""
    if found is None:
        return dict.fromkeys(("verified_at", "actor", "is_intact", "events", "broken_at", "problem"))
    return {
        "verified_at": found.verified_at.isoformat(),
        "actor": found.actor,
        "is_intact": found.broken_at is None,
        "events": found.events,
        "broken_at": found.broken_at,
        "problem": found.problem or None,
    }


def newest() -> ChainVerification | None:
    return ChainVerification.objects.filter(pk=ChainVerification.ONLY).first()

"""What the scheduler does, and how often, as the settings say."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.sessions.models import Session
from django.utils import timezone

from audit.pruning import prune as prune_audit
from llm_proxy_site.backups.backup import back_up
from tokens.batches import deactivate_expired
from tokens.exchange.issuing import forget_expired
from usage.pruning import cutoff, prune

ACTOR = "system"
IsStopping = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Task:
    name: str
    every: timedelta
    run: Callable[[IsStopping], dict[str, Any]]
    """What it has done, for the log and the audit trail. It ends early when it is asked to."""


def tasks() -> list[Task]:
    """None, unless SCHEDULE is on."""
    if not settings.SCHEDULE:
        return []
    found = [Task("cleanup_tokens", settings.SCHEDULE_CLEANUP_EVERY, _clean_up)]
    if settings.SCHEDULE_PRUNE_OLDER_THAN is not None:
        found.append(Task("prune_usage", settings.SCHEDULE_PRUNE_EVERY, _prune))
    if settings.AUDIT_RETENTION is not None:
        found.append(Task("prune_audit", settings.SCHEDULE_PRUNE_EVERY, _prune_audit))
    if settings.SCHEDULE_BACKUP_EVERY is not None:
        found.append(Task("backup_db", settings.SCHEDULE_BACKUP_EVERY, _back_up))
    return found


def _clean_up(is_stopping: IsStopping) -> dict[str, Any]:
    now = timezone.now()
    forget_expired(now)
    sessions, _ = Session.objects.filter(expire_date__lt=now).delete()  # of the admin site
    return {"deactivated": deactivate_expired(actor=ACTOR, now=now), "sessions": sessions}


def _prune(is_stopping: IsStopping) -> dict[str, Any]:
    older_than = settings.SCHEDULE_PRUNE_OLDER_THAN
    assert older_than is not None
    before = cutoff(older_than, timezone.now())
    pruned = prune(before, actor=ACTOR, is_stopping=is_stopping)
    return {"before": before.isoformat(), "records": pruned.records, "background_work": pruned.work}


def _prune_audit(is_stopping: IsStopping) -> dict[str, Any]:
    retention = settings.AUDIT_RETENTION
    assert retention is not None
    before = timezone.now() - retention
    return {"before": before.isoformat(), "events": prune_audit(before, actor=ACTOR, is_stopping=is_stopping)}


def _back_up(is_stopping: IsStopping) -> dict[str, Any]:
    backup = back_up(
        settings.SCHEDULE_BACKUP_DIR,
        timezone.now(),
        keep=settings.SCHEDULE_BACKUP_KEEP,
        is_stopping=is_stopping,
    )
    return {"file": str(backup.file), "size_bytes": backup.size_bytes, "removed": len(backup.removed)}

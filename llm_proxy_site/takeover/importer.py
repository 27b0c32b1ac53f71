"""What was read of the Go original becomes ours, in one transaction with its audit events. What is here
already stays as it is.
"""

from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction

from audit import trail
from llm_proxy_site.takeover.original import Original, OriginalError, OriginalProject, OriginalToken
from llm_proxy_site.takeover.ours import is_known_project, is_known_token, our_project, our_token
from llm_proxy_site.takeover.problems import problems_of
from projects.edits import fact
from projects.lifecycle import add_upstream_key
from projects.models import Project
from tokens.models import AccessToken
from usage.models import DailySpend


@dataclass(slots=True)
class Imported:
    projects: int = 0
    tokens: int = 0
    known_projects: int = 0
    """Here already, from an import before."""
    known_tokens: int = 0
    never_expiring: int = 0
    caps_of_zero: int = 0
    """Tokens that have no cap, for the original had 0."""
    without_key: list[str] = field(default_factory=list)


@transaction.atomic
def import_all(original: Original, *, actor: str, now: datetime, dry_run: bool = False) -> Imported:
    """All of it, or nothing: raises OriginalError with all problems. A dry run does it, and undoes it."""
    if problems := problems_of(original, now):
        raise OriginalError("\n".join(["Nothing was imported. What is to be mended first:", *problems]))
    done = Imported()
    for project in original.projects:
        _import_project(project, done, actor=actor, now=now)
    for token in original.tokens:
        _import_token(token, done, actor=actor, now=now)
    if done.projects or done.tokens:
        counts = {"projects": done.projects, "tokens": done.tokens, "sha256": original.sha256}
        trail.record_act("original.imported", "database", actor=actor, details=counts)
    transaction.set_rollback(dry_run)
    return done


def _import_project(original: OriginalProject, done: Imported, *, actor: str, now: datetime) -> None:
    if is_known_project(original):
        done.known_projects += 1
        return
    project = our_project(original, now)
    project.save(force_insert=True)
    Project.objects.filter(pk=project.pk).update(created_at=original.created_at)
    details = {"created_at": fact(original.created_at), "is_active": project.is_active}
    trail.record("project.imported", project, actor=actor, project_id=project.id, details=details)
    if original.upstream_key:
        add_upstream_key(project, original.upstream_key, actor=actor)
    else:
        done.without_key.append(project.name)
    done.projects += 1


def _import_token(original: OriginalToken, done: Imported, *, actor: str, now: datetime) -> None:
    if is_known_token(original):
        done.known_tokens += 1
        return
    token = our_token(original, now)
    token.save(force_insert=True)
    AccessToken.objects.filter(pk=token.pk).update(created_at=original.created_at)
    if original.request_count:  # from which its cap is counted on
        day = (original.last_used_at or original.created_at).date()
        DailySpend.objects.create(subject_id=token.id, day=day, requests=original.request_count)
    details = {
        "created_at": original.created_at,
        "expires_at": token.expires_at,
        "max_requests": token.max_requests,
    }
    facts = {name: fact(value) for name, value in details.items()}
    trail.record("token.imported", token, actor=actor, project_id=token.project_id, details=facts)
    done.tokens += 1
    done.never_expiring += token.expires_at is None
    done.caps_of_zero += original.cap_was_zero

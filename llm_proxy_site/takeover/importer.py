"""What was read of the Go original becomes ours, in one transaction with its audit events. What is here
already stays as it is.
"""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q

from audit import trail
from llm_proxy_site.takeover.original import Original, OriginalError, OriginalProject, OriginalToken
from projects.edits import fact
from projects.lifecycle import add_upstream_key
from projects.models import Project
from tokens.models import AccessToken
from usage.models import DailySpend

NAME = "imported"


@dataclass(slots=True)
class Imported:
    projects: int = 0
    tokens: int = 0
    known_projects: int = 0
    """Here already, from an import before."""
    known_tokens: int = 0
    never_expiring: int = 0
    without_key: list[str] = field(default_factory=list)


@transaction.atomic
def import_all(original: Original, *, actor: str, now: datetime, dry_run: bool = False) -> Imported:
    """All of it, or nothing: raises OriginalError. A dry run does it, and undoes it."""
    done = Imported()
    projects = {each.id: _import_project(each, done, actor=actor, now=now) for each in original.projects}
    for each in original.tokens:
        _import_token(each, projects, done, actor=actor, now=now)
    if done.projects or done.tokens:
        counts = {"projects": done.projects, "tokens": done.tokens, "sha256": original.sha256}
        trail.record_act("original.imported", "database", actor=actor, details=counts)
    transaction.set_rollback(dry_run)
    return done


def _import_project(original: OriginalProject, done: Imported, *, actor: str, now: datetime) -> Project:
    known = Project.objects.filter(pk=original.id).first()
    if known is not None:
        done.known_projects += 1
        return known
    if Project.objects.filter(name=original.name.strip()).exists():
        raise OriginalError(f"There is another project named {original.name} here. Rename one of the two.")
    project = Project(id=original.id, name=original.name.strip(), is_active=original.is_active)
    project.deactivated_at = None if original.is_active else original.deactivated_at or now
    try:
        project.full_clean()
        project.save(force_insert=True)
        Project.objects.filter(pk=project.pk).update(created_at=original.created_at)
        details = {"created_at": fact(original.created_at), "is_active": project.is_active}
        trail.record("project.imported", project, actor=actor, project_id=project.id, details=details)
        if original.upstream_key:
            add_upstream_key(project, original.upstream_key, actor=actor)
        else:
            done.without_key.append(project.name)
    except ValidationError as problem:
        raise OriginalError(f"The project {original.name}: {' '.join(problem.messages)}") from None
    done.projects += 1
    return project


def _import_token(
    original: OriginalToken, projects: dict[UUID, Project], done: Imported, *, actor: str, now: datetime
) -> None:
    is_known = Q(pk=original.id) | Q(digest=original.digest) | Q(previous_digest=original.digest)
    if AccessToken.objects.filter(is_known).exists():
        done.known_tokens += 1
        return
    project = projects.get(original.project_id)
    if project is None:
        raise OriginalError(f"The token {original.id} is of a project that the database does not have.")
    token = _token(original, project, now)
    try:
        token.full_clean(exclude={"last_four"})  # not known, where there is a digest only
    except ValidationError as problem:
        raise OriginalError(f"The token {original.id}: {' '.join(problem.messages)}") from None
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
    trail.record("token.imported", token, actor=actor, project_id=project.id, details=facts)
    done.tokens += 1
    done.never_expiring += token.expires_at is None


def _token(original: OriginalToken, project: Project, now: datetime) -> AccessToken:
    lifetime = original.expires_at and original.expires_at - original.created_at
    return AccessToken(
        id=original.id,
        digest=original.digest,
        last_four=original.last_four,
        project=project,
        name=f"{NAME} …{original.last_four}" if original.last_four else NAME,
        ttl=lifetime,
        expires_at=original.expires_at,
        max_requests=original.max_requests,
        request_count=original.request_count,
        is_active=original.is_active,
        revoked_at=None if original.is_active else original.deactivated_at or now,
        last_used_at=original.last_used_at,
    )

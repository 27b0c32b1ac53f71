"""What can be done to an access token. Every act is one transaction with its audit event.

LifecycleError
├── ProjectInactiveError
├── TokenNotAliveError
├── RenewalNotPermittedError
└── RenewalLimitReachedError
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction

from audit import trail
from audit.actors import of_token
from projects.edits import fact
from projects.limits import BUDGETS, LIMITS
from projects.models import Project
from projects.policy import check_limits
from tokens import format as token_format
from tokens.lifetime import MIN_TTL, NEVER, check_grace, check_ttl, default_ttl, longest_ttl, permitted_ttl
from tokens.models import AccessToken

MAX_COUNT = 10_000
"""How many tokens are issued at once."""
SHORTEST_RENEWAL = MIN_TTL
"""A renewal that would give less does nothing: holders may ask as often as they like."""


class LifecycleError(Exception):
    """The act cannot be done; the message is fit for a user."""


class ProjectInactiveError(LifecycleError):
    """A project that is switched off gets no tokens, and its tokens are not renewed."""


class TokenNotAliveError(LifecycleError):
    """The token is revoked, expired, idle for too long or inactive."""


class RenewalNotPermittedError(LifecycleError):
    """The project does not let holders renew their tokens."""


class RenewalLimitReachedError(LifecycleError):
    """The token lives as long already as a renewal can make it live."""


@transaction.atomic
def issue(
    project: Project,
    *,
    ttl: timedelta | None = None,
    idle_ttl: timedelta | None = None,
    name: str = "",
    rules: dict[str, Any] | None = None,
    actor: str,
    now: datetime,
    **limits: int | None,
) -> tuple[AccessToken, str]:
    """A new token and its plain text, the only moment that exists.

    `ttl` None: the project's default. `idle_ttl` None or NEVER: it may stay unused. `limits`: the fields of
    projects.limits, at least 1, None for no limit. `rules`: a document of projects.rules, within those of the
    project. Raises InvalidTTLError, ProjectInactiveError, and ValidationError for a bad name, limit or rule.
    """
    token, plain = _draft(project, ttl=ttl, idle_ttl=idle_ttl, name=name, now=now, limits=limits, rules=rules)
    token.full_clean()
    token.save(force_insert=True)
    _record("token.issued", token, actor, _terms(token))
    return token, plain


@transaction.atomic
def issue_many(
    project: Project,
    count: int,
    *,
    ttl: timedelta | None = None,
    idle_ttl: timedelta | None = None,
    name: str = "",
    rules: dict[str, Any] | None = None,
    actor: str,
    now: datetime,
    **limits: int | None,
) -> list[tuple[AccessToken, str]]:
    """Tokens as `issue` makes them, 1 to MAX_COUNT. A name is numbered: `NAME-1`, `NAME-2`, ..."""
    if not 1 <= count <= MAX_COUNT:
        raise ValidationError(f"From 1 to {MAX_COUNT} tokens can be issued at once.")
    names = [f"{name.strip()}-{number}" if name.strip() else "" for number in range(1, count + 1)]
    issued = [
        _draft(project, ttl=ttl, idle_ttl=idle_ttl, name=name, now=now, limits=limits, rules=rules)
        for name in names
    ]
    tokens = [token for token, _ in issued]
    tokens[-1].full_clean()  # they differ in their names only, and this one's is the longest
    AccessToken.objects.bulk_create(tokens)
    acts = [(token, project.id, _terms(token)) for token in tokens]
    trail.record_all("token.issued", acts, actor=actor)
    return issued


@transaction.atomic
def renew(token: AccessToken, *, actor: str, now: datetime) -> AccessToken:
    """Let a token live its lifetime again, from now, as its holder may where the project permits it.

    At most until the project's longest lifetime from the token's creation; never shorter than before. A
    token that never expires has nothing to renew, and stays as it is. Returns the token, up to date. Raises
    TokenNotAliveError, ProjectInactiveError, RenewalNotPermittedError and RenewalLimitReachedError.
    """
    _lock(token)
    _require_alive(token, "renewed", now)
    if not token.project.is_active:
        raise ProjectInactiveError(f"The project {token.project.name} is not active.")
    if token.expires_at is None:
        return token
    if not token.project.permits_renewal:
        raise RenewalNotPermittedError(f"The project {token.project.name} does not permit renewal.")
    bound = token.created_at + longest_ttl(token.project)
    if token.expires_at + timedelta(seconds=1) > bound:
        raise RenewalLimitReachedError("This token cannot be renewed any further.")
    # Without a lifetime of its own: issued to live for ever, or by a version that did not keep it.
    ttl = token.ttl or default_ttl(token.project)
    lived_out = bound if ttl == NEVER else min(now + ttl, bound)
    if lived_out == bound or lived_out - token.expires_at >= SHORTEST_RENEWAL:
        _prolong("token.renewed", token, lived_out, actor=actor, now=now)
    return token


@transaction.atomic
def renew_by_holder(token_id: UUID, *, now: datetime) -> None:
    """As `renew`, for who has the token only. Raises AccessToken.DoesNotExist too."""
    token = AccessToken.objects.select_related("project").get(pk=token_id)
    renew(token, actor=of_token(token_id), now=now)


@transaction.atomic
def extend(token: AccessToken, *, ttl: timedelta, actor: str, now: datetime) -> None:
    """Let a token live for `ttl` from now, longer or shorter than before, as its project permits.

    One that has expired works again, whether or not a clean-up has met it. What a renewal gives stays the
    lifetime it was issued with. Raises InvalidTTLError, and TokenNotAliveError for a revoked token.
    """
    _lock(token)
    if token.revoked_at is not None:
        raise TokenNotAliveError("A token that is revoked cannot be extended. Reactivate it first.")
    permitted_ttl(token.project, ttl)
    token.is_active = True
    _prolong("token.extended", token, None if ttl == NEVER else now + ttl, actor=actor, now=now)


@transaction.atomic
def rotate(token: AccessToken, *, grace: timedelta, actor: str, now: datetime) -> str:
    """Give a token a new plain text, which is returned, and exists nowhere else. All else stays as it is.

    The one before works until the grace ends, the one before that no more. Raises InvalidTTLError for a
    grace outside 0..MAX_GRACE, and TokenNotAliveError.
    """
    check_grace(grace)
    _lock(token)
    _require_alive(token, "rotated", now)
    _, plain = token_format.generate(token.id)
    token.previous_digest = token.digest if grace else None
    token.previous_digest_dies_at = now + grace if grace else None
    token.digest = token_format.digest(plain)
    token.prefix, token.last_four = token_format.PREFIX, plain[-4:]
    token.save(
        update_fields=[
            *("digest", "prefix", "last_four"),
            *("previous_digest", "previous_digest_dies_at", "updated_at"),
        ]
    )
    _record("token.rotated", token, actor, {"previous_digest_dies_at": fact(token.previous_digest_dies_at)})
    return plain


@transaction.atomic
def revoke(token: AccessToken, *, actor: str, now: datetime) -> bool:
    """End a token until it is reactivated; True if it was not revoked yet. Felt everywhere within 2 s."""
    changed = AccessToken.objects.filter(pk=token.pk, revoked_at=None).update(
        is_active=False, revoked_at=now, updated_at=now
    )
    token.refresh_from_db(fields=["is_active", "revoked_at", "updated_at"])
    if changed:
        _record("token.revoked", token, actor)
    return bool(changed)


@transaction.atomic
def reactivate(token: AccessToken, *, actor: str, now: datetime) -> bool:
    """Undo a revocation or deactivation; True if there was one. Its plain text works again.

    A sign of life to an idle lifetime; limits, counters and expiry stay as they are.
    """
    changed = AccessToken.objects.filter(pk=token.pk, is_active=False).update(
        is_active=True, revoked_at=None, renewed_at=now, updated_at=now
    )
    token.refresh_from_db(fields=["is_active", "revoked_at", "renewed_at", "updated_at"])
    if changed:
        _record("token.reactivated", token, actor)
    return bool(changed)


def _draft(
    project: Project,
    *,
    ttl: timedelta | None,
    idle_ttl: timedelta | None,
    name: str,
    now: datetime,
    limits: Mapping[str, int | None],
    rules: dict[str, Any] | None,
) -> tuple[AccessToken, str]:
    ttl = default_ttl(project) if ttl is None else permitted_ttl(project, ttl)
    idle_ttl = NEVER if idle_ttl is None else check_ttl(idle_ttl)
    if not project.is_active:
        raise ProjectInactiveError(f"The project {project.name} is not active.")
    token_id, plain = token_format.generate()
    token = AccessToken(
        id=token_id,
        digest=token_format.digest(plain),
        last_four=plain[-4:],
        project=project,
        name=name.strip(),
        ttl=None if ttl == NEVER else ttl,
        expires_at=None if ttl == NEVER else now + ttl,
        idle_ttl=None if idle_ttl == NEVER else idle_ttl,
        rules=rules or {},
        **check_limits(limits),
    )
    return token, plain


def _terms(token: AccessToken) -> dict[str, Any]:
    """What it was issued with, for the audit trail."""
    bounds = {field: fact(getattr(token, field)) for field in ("idle_ttl", *LIMITS, *BUDGETS)}
    given = {field: bound for field, bound in bounds.items() if bound is not None}
    if token.rules:
        given["rules"] = token.rules
    return {"expires_at": fact(token.expires_at), **given}


def _lock(token: AccessToken) -> None:
    """Read the token anew, and let nobody else change it until this transaction ends."""
    token.refresh_from_db(from_queryset=AccessToken.objects.select_for_update())


def _require_alive(token: AccessToken, act: str, now: datetime) -> None:
    state = token.state(now)
    if state not in ("active", "exhausted"):
        raise TokenNotAliveError(f"A token that is {state} cannot be {act}.")


def _prolong(
    action: str, token: AccessToken, expires_at: datetime | None, *, actor: str, now: datetime
) -> None:
    before = token.expires_at
    token.expires_at, token.renewed_at = expires_at, now
    token.save(update_fields=["expires_at", "renewed_at", "is_active", "updated_at"])
    _record(action, token, actor, {"expires_at": {"before": fact(before), "after": fact(expires_at)}})


def _record(action: str, token: AccessToken, actor: str, details: dict[str, object] | None = None) -> None:
    trail.record(action, token, actor=actor, project_id=token.project_id, details=details)

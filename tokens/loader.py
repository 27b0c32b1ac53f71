"""Reads grants from the database: the only query on the way of a request, and only on a miss."""

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from projects.capture import rule_of
from projects.encryption import UndecryptableError
from projects.models import DeathPolicy, DisconnectPolicy, Project, UnpricedPolicy, UpstreamKey
from projects.rules import InvalidRulesError, parse_rules
from projects.ruleset import REFUSE_ALL, Ruleset, make_ready
from tokens.grant import Grant, RingKey
from tokens.limits.values import Kind, Limits, Subject
from tokens.models import AccessToken

log = structlog.get_logger("tokens")


def known_digests(digests: list[str]) -> frozenset[str]:
    """Which of these there are, in one query. Runs in a worker thread."""
    wanted = frozenset(digests)
    rows = AccessToken.objects.filter(Q(digest__in=wanted) | Q(previous_digest__in=wanted))
    found = rows.values_list("digest", "previous_digest")
    return frozenset(digest for row in found for digest in row if digest in wanted)


def load_grant(digest: str) -> Grant | None:
    """The grant of the token with this digest, be it the one before its rotation; None if there is no such
    token. Runs in a worker thread.
    """
    now = timezone.now()
    token = (
        AccessToken.objects.select_related("project")
        .filter(Q(digest=digest) | Q(previous_digest=digest, previous_digest_dies_at__gt=now))
        .first()
    )
    if token is None:
        return None
    project = token.project
    digest_dies_at = None if digest == token.digest else token.previous_digest_dies_at
    return Grant(
        token_id=token.id,
        project_id=project.id,
        digest=digest,
        token_active=token.is_active,
        token_revoked=token.revoked_at is not None,
        project_active=project.is_active,
        expires_at=_seconds(token.expires_at),
        base_url=project.base_url,
        upstream_keys=_keys(project),
        provider=project.provider,
        upstream_headers=upstream_headers(project),
        permits_leading_past_us=project.permits_leading_past_us,
        idle_expires_at=_seconds(token.idle_expires_at),
        digest_dies_at=_seconds(digest_dies_at),
        subjects=_subjects(token, project),
        death_policy=DeathPolicy(project.death_policy),
        drain_seconds=_drain_seconds(project),
        unpriced_policy=UnpricedPolicy(project.unpriced_policy),
        flat_price_microusd=project.flat_price_microusd or 0,
        permits_renewal=project.permits_renewal,
        rules=_ruleset(token, project),
        capture=rule_of(project),
        token_name=token.name,
        project_name=project.name,
        created_at=token.created_at,
        expires_at_text=_text(_earlier(token.expires_at, digest_dies_at)),
    )


def keep_alive(token_ids: Iterable[UUID], now: datetime) -> None:
    """Note that these tokens are in use: a request of theirs runs, which the ledger does not know yet. Their
    rows are locked in the order in which the ledger locks them.
    """
    earlier = Q(last_used_at=None) | Q(last_used_at__lt=now)
    used = AccessToken.objects.filter(earlier, pk__in=token_ids)
    with transaction.atomic():
        ids = list(used.order_by("pk").select_for_update().values_list("pk", flat=True))
        AccessToken.objects.filter(pk__in=ids).update(last_used_at=now)


def upstream_headers(project: Project) -> tuple[tuple[bytes, bytes], ...]:
    """What a project says of who pays."""
    headers = (
        (b"openai-organization", project.upstream_organization),
        (b"openai-project", project.upstream_project),
    )
    return tuple((name, value.encode()) for name, value in headers if value)


def _subjects(token: AccessToken, project: Project) -> tuple[Subject, ...]:
    both = (
        Subject(Kind.TOKEN, token.id, Limits.of(token)),
        Subject(Kind.PROJECT, project.id, Limits.of(project)),
    )
    return tuple(subject for subject in both if subject.limits)


def _ruleset(token: AccessToken, project: Project) -> Ruleset | None:
    if not (token.rules or project.rules):
        return None
    try:
        return make_ready(parse_rules(project.rules), parse_rules(token.rules))
    except InvalidRulesError as problem:
        log.error("rules cannot be read, all is refused", token_id=str(token.id), error=str(problem))
        return REFUSE_ALL


def _drain_seconds(project: Project) -> int:
    return project.drain_seconds if project.disconnect_policy == DisconnectPolicy.DRAIN else 0


def _earlier(first: datetime | None, second: datetime | None) -> datetime | None:
    return min((instant for instant in (first, second) if instant is not None), default=None)


def _seconds(instant: datetime | None) -> float:
    return math.inf if instant is None else instant.timestamp()


def _text(instant: datetime | None) -> bytes:
    if instant is None:
        return b"never"
    return instant.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z").encode()


def _keys(project: Project) -> tuple[RingKey, ...]:
    """Those that are usable."""
    keys = []
    for key in UpstreamKey.objects.filter(project=project, is_active=True):
        try:
            keys.append(RingKey(key.id, key.reveal(), key.weight))
        except UndecryptableError:
            log.error("upstream key cannot be decrypted", upstream_key_id=str(key.id))
    return tuple(keys)

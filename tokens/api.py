"""Routes under /manage/tokens, and the revocation of a project's tokens. The plain text of a token is in the
answer that issues or rotates it, and in no other.
"""

from typing import Any
from uuid import UUID

from django.utils import timezone
from ninja import Query, Router

from llm_proxy_site.api.authentication import needs
from llm_proxy_site.api.caller import Request, found
from llm_proxy_site.api.idempotency import IdempotencyKey, once
from llm_proxy_site.api.paging import page_of
from llm_proxy_site.api.schemas import Page
from llm_proxy_site.api.scopes import ApiScope
from tokens import lifecycle, schemas
from tokens.batches import revoke_many
from tokens.edits import edit
from tokens.facts import token_facts
from tokens.lifetime import DEFAULT_GRACE
from tokens.models import AccessToken, AccessTokenQuerySet

router = Router(tags=["tokens"])
revocation_router = Router(tags=["tokens"])

READ = needs(ApiScope.TOKENS_READ, "tokens.view_accesstoken")
ISSUE = needs(ApiScope.TOKENS_WRITE, "tokens.add_accesstoken")
CHANGE = needs(ApiScope.TOKENS_WRITE, "tokens.change_accesstoken")


@router.get(
    "", auth=READ, response=Page[schemas.Token], operation_id="list_tokens", summary="List access tokens"
)
def list_tokens(request: Request, filters: Query[schemas.TokenFilters]) -> dict[str, Any]:
    return page_of(_filtered(_tokens(request), filters), filters, token_facts)


@router.post(
    "",
    auth=ISSUE,
    response={201: schemas.IssuedToken},
    operation_id="issue_token",
    summary="Issue an access token",
)
def issue_token(request: Request, body: schemas.TokenNew, idempotency_key: IdempotencyKey) -> Any:
    project = request.auth.project(body.project_id)

    def act() -> dict[str, Any]:
        token, plain = lifecycle.issue(project, **body.given(), actor=request.auth.actor, now=timezone.now())
        return {**token_facts(token), "token": plain}

    return once(request, idempotency_key, act)


@router.post(
    "/batch",
    auth=ISSUE,
    response={201: schemas.IssuedTokens},
    operation_id="issue_tokens",
    summary="Issue many access tokens at once, all or none",
)
def issue_tokens(request: Request, body: schemas.TokenBatch, idempotency_key: IdempotencyKey) -> Any:
    project = request.auth.project(body.project_id)

    def act() -> dict[str, Any]:
        issued = lifecycle.issue_many(project, **body.given(), actor=request.auth.actor, now=timezone.now())
        return {"data": [{**token_facts(token), "token": plain} for token, plain in issued]}

    return once(request, idempotency_key, act)


@router.get(
    "/{token_id}", auth=READ, response=schemas.Token, operation_id="get_token", summary="Show an access token"
)
def get_token(request: Request, token_id: UUID) -> dict[str, Any]:
    return token_facts(_token(request, token_id))


@router.patch(
    "/{token_id}",
    auth=CHANGE,
    response=schemas.Token,
    operation_id="update_token",
    summary="Change an access token's name, limits or rules",
)
def update_token(request: Request, token_id: UUID, body: schemas.TokenEdit) -> dict[str, Any]:
    token = _token(request, token_id)
    edit(token, **body.given(), actor=request.auth.actor, now=timezone.now())
    return token_facts(token)


@router.delete(
    "/{token_id}",
    auth=CHANGE,
    response=schemas.Token,
    operation_id="revoke_token",
    summary="Revoke an access token",
)
def revoke_token(request: Request, token_id: UUID) -> dict[str, Any]:
    """Felt everywhere within 2 s, by running streams too. One that is revoked stays so."""
    token = _token(request, token_id)
    lifecycle.revoke(token, actor=request.auth.actor, now=timezone.now())
    return token_facts(token)


@router.post(
    "/{token_id}/reactivate",
    auth=CHANGE,
    response=schemas.Token,
    operation_id="reactivate_token",
    summary="Undo the revocation of an access token",
)
def reactivate_token(request: Request, token_id: UUID) -> dict[str, Any]:
    token = _token(request, token_id)
    lifecycle.reactivate(token, actor=request.auth.actor, now=timezone.now())
    return token_facts(token)


@router.post(
    "/{token_id}/rotate",
    auth=CHANGE,
    response={201: schemas.IssuedToken},
    operation_id="rotate_token",
    summary="Give an access token a new plain text",
)
def rotate_token(
    request: Request, token_id: UUID, body: schemas.Rotation, idempotency_key: IdempotencyKey
) -> Any:
    """The old one goes on for the grace. All else stays as it is."""
    token = _token(request, token_id)
    grace = DEFAULT_GRACE if body.grace is None else body.grace

    def act() -> dict[str, Any]:
        plain = lifecycle.rotate(token, grace=grace, actor=request.auth.actor, now=timezone.now())
        return {**token_facts(token), "token": plain}

    return once(request, idempotency_key, act)


@router.post(
    "/{token_id}/renew",
    auth=CHANGE,
    response=schemas.Token,
    operation_id="renew_token",
    summary="Let an access token live its lifetime again, from now",
)
def renew_token(request: Request, token_id: UUID) -> dict[str, Any]:
    """As its holder may, where the project permits renewal, and no further than it permits."""
    token = lifecycle.renew(_token(request, token_id), actor=request.auth.actor, now=timezone.now())
    return token_facts(token)


@router.post(
    "/{token_id}/extend",
    auth=CHANGE,
    response=schemas.Token,
    operation_id="extend_token",
    summary="Let an access token, even an expired one, live for so long from now",
)
def extend_token(request: Request, token_id: UUID, body: schemas.Extension) -> dict[str, Any]:
    token = _token(request, token_id)
    lifecycle.extend(token, ttl=body.ttl, actor=request.auth.actor, now=timezone.now())
    return token_facts(token)


@revocation_router.post(
    "/{project_id}/tokens/revoke",
    auth=CHANGE,
    response=schemas.Revoked,
    operation_id="revoke_tokens",
    summary="Revoke a project's access tokens, all or by filter",
)
def revoke_tokens(request: Request, project_id: UUID, body: schemas.Revocation) -> dict[str, Any]:
    now = timezone.now()
    tokens = AccessToken.objects.filter(project=request.auth.project(project_id))
    if body.name is not None:
        tokens = tokens.named_like(body.name)
    if body.older_than is not None:
        tokens = tokens.older_than(now - body.older_than)
    if body.unused_for is not None:
        tokens = tokens.unused_since(now - body.unused_for)
    if body.dry_run:
        revoked = tokens.filter(revoked_at=None).count()
    else:
        revoked = revoke_many(tokens, actor=request.auth.actor, now=now)
    return {"revoked": revoked, "dry_run": body.dry_run}


def _tokens(request: Request) -> AccessTokenQuerySet:
    return request.auth.within_reach(AccessToken.objects.select_related("project"))


def _token(request: Request, token_id: UUID) -> AccessToken:
    """Raises NotFound."""
    return found(_tokens(request), token_id, "such access token")


def _filtered(tokens: AccessTokenQuerySet, filters: schemas.TokenFilters) -> AccessTokenQuerySet:
    equal = filters.model_dump(include={"project_id", "is_active", "last_four"}, exclude_none=True)
    tokens = tokens.filter(**equal)
    if filters.name is not None:
        tokens = tokens.named_like(filters.name)
    if filters.is_revoked is not None:
        tokens = tokens.filter(revoked_at__isnull=not filters.is_revoked)
    if filters.expires_before is not None:
        tokens = tokens.filter(expires_at__lt=filters.expires_before)
    if filters.unused_since is not None:
        tokens = tokens.unused_since(filters.unused_since)
    return tokens

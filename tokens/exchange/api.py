"""Routes under /manage/trust-rules: whose JWTs are exchanged for access tokens."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from ninja import Query, Router

from llm_proxy_site.api.authentication import needs
from llm_proxy_site.api.caller import Request, found
from llm_proxy_site.api.idempotency import IdempotencyKey, once
from llm_proxy_site.api.paging import page_of
from llm_proxy_site.api.schemas import Page
from llm_proxy_site.api.scopes import ApiScope
from llm_proxy_site.api.searching import holds
from tokens.exchange import lifecycle, schemas
from tokens.exchange.facts import rule_facts
from tokens.exchange.models import TrustRule

router = Router(tags=["trust rules"])

READ = needs(ApiScope.TRUST_RULES_READ, "tokens.view_trustrule")
ADD = needs(ApiScope.TRUST_RULES_WRITE, "tokens.add_trustrule")
CHANGE = needs(ApiScope.TRUST_RULES_WRITE, "tokens.change_trustrule")
DELETE = needs(ApiScope.TRUST_RULES_WRITE, "tokens.delete_trustrule")


@router.get(
    "",
    auth=READ,
    response=Page[schemas.TrustRule],
    operation_id="list_trust_rules",
    summary="List trust rules",
)
def list_trust_rules(request: Request, filters: Query[schemas.TrustRuleFilters]) -> dict[str, Any]:
    rules = _rules(request).filter(
        **filters.model_dump(include={"project_id", "issuer", "is_active"}, exclude_none=True)
    )
    if filters.name is not None:
        rules = rules.filter(holds("name", filters.name))
    return page_of(rules, filters, rule_facts)


@router.post(
    "",
    auth=ADD,
    response={201: schemas.TrustRule},
    operation_id="create_trust_rule",
    summary="Let those who show certain JWTs have access tokens of a project",
)
def create_trust_rule(request: Request, body: schemas.TrustRuleNew, idempotency_key: IdempotencyKey) -> Any:
    project = request.auth.project(body.project_id)

    def act() -> dict[str, Any]:
        rule = lifecycle.create_rule(**body.given(), project=project, actor=request.auth.actor)
        return rule_facts(rule)

    return once(request, idempotency_key, act)


@router.get(
    "/{rule_id}",
    auth=READ,
    response=schemas.TrustRule,
    operation_id="get_trust_rule",
    summary="Show a trust rule",
)
def get_trust_rule(request: Request, rule_id: UUID) -> dict[str, Any]:
    return rule_facts(_rule(request, rule_id))


@router.patch(
    "/{rule_id}",
    auth=CHANGE,
    response=schemas.TrustRule,
    operation_id="update_trust_rule",
    summary="Change a trust rule, or switch it off or on",
)
def update_trust_rule(request: Request, rule_id: UUID, body: schemas.TrustRuleEdit) -> dict[str, Any]:
    """It holds for the next exchange. The tokens that the rule has issued stay as they are."""
    rule, edits = _rule(request, rule_id), body.given()
    if body.project_id is not None:
        edits["project"] = request.auth.project(body.project_id)
    lifecycle.update_rule(rule, **edits, actor=request.auth.actor)
    return rule_facts(rule)


@router.delete(
    "/{rule_id}",
    auth=DELETE,
    response=schemas.TrustRule,
    operation_id="delete_trust_rule",
    summary="Delete a trust rule; the access tokens that it has issued live on",
)
def delete_trust_rule(request: Request, rule_id: UUID) -> dict[str, Any]:
    rule = _rule(request, rule_id)
    facts = rule_facts(rule)
    lifecycle.delete_rule(rule, actor=request.auth.actor)
    return facts


def _rules(request: Request) -> QuerySet[TrustRule]:
    return request.auth.within_reach(TrustRule.objects.select_related("project"))


def _rule(request: Request, rule_id: UUID) -> TrustRule:
    """Raises NotFound."""
    return found(_rules(request), rule_id, "such trust rule")

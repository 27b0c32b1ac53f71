"""The management API: its routes, put together, and what becomes of what they raise."""

import re
from typing import Any

from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import HttpError
from ninja.errors import ValidationError as RequestError
from ninja.openapi.schema import OpenAPISchema

from audit.api import router as audit
from llm_proxy_site.api.errors import BadRequest, Forbidden, Invalid, NotFound, NotPossible, respond
from llm_proxy_site.api.health import router as health
from llm_proxy_site.api.key_tests import router as key_tests
from llm_proxy_site.api.openapi import Document
from llm_proxy_site.commands import sentence
from llm_proxy_site.people.api import router as people
from llm_proxy_site.version import __version__
from projects.api import router as projects
from projects.lifetime import InvalidTTLError
from projects.member_api import router as members
from proxy.errors import ProxyError
from tokens.api import revocation_router
from tokens.api import router as tokens
from tokens.exchange.api import router as trust_rules
from tokens.lifecycle import (
    LifecycleError,
    ProjectInactiveError,
    RenewalLimitReachedError,
    RenewalNotPermittedError,
)
from usage.api import router as usage
from usage.captures.api import project_router as project_captures
from usage.captures.api import router as captures
from usage.price_api import router as prices

FORBIDDEN = {
    ProjectInactiveError: "project_inactive",
    RenewalNotPermittedError: "renewal_not_permitted",
    RenewalLimitReachedError: "renewal_limit_reached",
}

ARGUMENTS = ("body", "paging", "filters", "query")
"""What routes call what they take as a whole."""
PARAM = re.compile(r"(?!sk-)[A-Za-z][A-Za-z0-9_.-]{0,60}", re.ASCII)
"""Members that we do not know are the client's words, and could be anything."""


class ManagementAPI(NinjaAPI):
    def get_openapi_schema(
        self, *, path_prefix: str | None = None, path_params: dict[str, Any] | None = None
    ) -> OpenAPISchema:
        return Document(self, path_prefix or self.get_root_path(path_params or {}))


api = ManagementAPI(
    title="LLM Proxy management API",
    version=__version__,
    description="Projects, upstream keys, access tokens, trust rules, people, usage, prices, audit, health.",
    docs_url=None,  # its page loads scripts from elsewhere
    urls_namespace="manage",
)
api.add_router("/projects", projects)
api.add_router("/projects", revocation_router)
api.add_router("/projects", members)
api.add_router("/projects", key_tests)
api.add_router("/tokens", tokens)
api.add_router("/trust-rules", trust_rules)
api.add_router("/people", people)
api.add_router("/usage", usage)
api.add_router("/usage", captures)
api.add_router("/projects", project_captures)
api.add_router("/prices", prices)
api.add_router("/audit", audit)
api.add_router("/health", health)


@api.exception_handler(ProxyError)
def refuse(request: HttpRequest, error: ProxyError) -> HttpResponse:
    return respond(error)


@api.exception_handler(RequestError)
def refuse_request(request: HttpRequest, error: RequestError) -> HttpResponse:
    """The first thing that is wrong. What was sent is not repeated: it may be a secret."""
    problem = error.errors[0]
    place = ".".join(str(step) for step in problem["loc"][1:] if step not in ARGUMENTS)
    param = place if PARAM.fullmatch(place) else None
    return respond(Invalid(f"{problem['msg'].removeprefix('Value error, ').rstrip('.')}.", param))


@api.exception_handler(ValidationError)
def refuse_value(request: HttpRequest, error: ValidationError) -> HttpResponse:
    """Of a row."""
    fields = [name for name in getattr(error, "error_dict", {}) if name != "__all__"]
    param = fields[0].replace("_microusd", "_usd") if fields else None
    return respond(Invalid(sentence(error), param))


@api.exception_handler(InvalidTTLError)
def refuse_lifetime(request: HttpRequest, error: InvalidTTLError) -> HttpResponse:
    return respond(Invalid(str(error), "ttl"))


@api.exception_handler(LifecycleError)
def refuse_act(request: HttpRequest, error: LifecycleError) -> HttpResponse:
    code = FORBIDDEN.get(type(error))
    return respond(Forbidden(code, str(error)) if code else NotPossible("token_not_alive", str(error)))


@api.exception_handler(HttpError)
def refuse_body(request: HttpRequest, error: HttpError) -> HttpResponse:
    """A body that is not JSON."""
    return respond(BadRequest("The body is not JSON."))


@api.exception_handler(ObjectDoesNotExist)
def refuse_absent(request: HttpRequest, error: ObjectDoesNotExist) -> HttpResponse:
    """Somebody else has deleted it, between our look and our act."""
    return respond(NotFound("such thing any more"))


@api.exception_handler(IntegrityError)
def refuse_conflict(request: HttpRequest, error: IntegrityError) -> HttpResponse:
    """Somebody else was quicker, between our look and our act."""
    return respond(NotPossible("conflict", "Something else has changed meanwhile. Try again."))

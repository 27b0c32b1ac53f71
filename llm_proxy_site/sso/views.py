"""The two pages of signing in by the provider: on the way there, and back."""

from typing import Any

import structlog
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import login
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_GET

from audit import trail
from audit.actors import STRANGER, of_user
from audit.refusals import refusals
from llm_proxy_site.people.attempts import seconds_to_wait, too_many
from llm_proxy_site.people.requests import address_of
from llm_proxy_site.sso.accounts import account_of
from llm_proxy_site.sso.backend import BACKEND
from llm_proxy_site.sso.claims import person_of
from llm_proxy_site.sso.errors import RefusedError, SsoError, StrayError, UnavailableError
from projects.access import ADMIN, OPERATOR, VIEWER
from proxy.client_address import network_of

log = structlog.get_logger("server")


@never_cache
@require_GET  # a form's way must end at our own site: form-action of our policy
def start(request: HttpRequest) -> HttpResponse:
    _require_provider()
    if wait := seconds_to_wait(request):
        return too_many(request, wait, _context(request))
    from llm_proxy_site.sso import provider

    try:
        return HttpResponseRedirect(provider.begin(request, next=_next(request)))
    except UnavailableError as problem:
        log.warning("the sign-in provider does not answer", reason=problem.reason)
        return _page(request, problem)


@never_cache
@require_GET
@sensitive_variables("arrival")
def callback(request: HttpRequest) -> HttpResponse:
    _require_provider()
    from llm_proxy_site.sso import provider

    try:
        arrival = provider.finish(request)
        roles = {
            VIEWER: settings.SSO_VIEWERS,
            OPERATOR: settings.SSO_OPERATORS,
            ADMIN: settings.SSO_ADMINS,
        }
        person = person_of(
            settings.SSO_ISSUER, arrival.claims, role_claim=settings.SSO_ROLE_CLAIM, roles=roles
        )
        user = account_of(person, domains=settings.SSO_EMAIL_DOMAINS, creates=settings.SSO_CREATE_USERS)
    except SsoError as problem:
        return _failed(request, problem)
    login(request, user, backend=BACKEND)  # in a new session
    details = {"by": "single sign-on", "issuer": person.issuer, "subject": person.subject}
    trail.record("user.signed_in", user, actor=of_user(user), details=details)
    return HttpResponseRedirect(arrival.next)


def _failed(request: HttpRequest, problem: SsoError) -> HttpResponse:
    """In the trail as failures with passwords are. Each attempt was counted at its start, but for strays."""
    if isinstance(problem, UnavailableError):
        log.warning("the sign-in provider does not answer", reason=problem.reason)
        return _page(request, problem)
    if isinstance(problem, StrayError) and (wait := seconds_to_wait(request)):
        return too_many(request, wait, _context(request))
    _record_failure(request, problem)
    return _page(request, problem)


def _record_failure(request: HttpRequest, problem: SsoError) -> None:
    """Each of whom the provider has named; of strangers not each, who could come without end."""
    actor = problem.actor if isinstance(problem, RefusedError) else STRANGER
    details: dict[str, Any] = {"by": "single sign-on", "reason": problem.reason}
    if actor == STRANGER:
        refused = refusals.due("user.sign_in_failed", network_of(address_of(request)))
        if not refused:
            return
        details["refused"] = refused
    trail.record_act("user.sign_in_failed", "user", actor=actor, details=details)


def _page(request: HttpRequest, problem: SsoError) -> HttpResponse:
    context = {**_context(request), "title": problem.title, "message": problem.message}
    return TemplateResponse(request, "admin/sso_failed.html", context, status=problem.status)


def _context(request: HttpRequest) -> dict[str, Any]:
    return admin.site.each_context(request)


def _next(request: HttpRequest) -> str:
    """A page of this very site."""
    wanted = request.GET.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return wanted if is_ours else reverse("admin:index")


def _require_provider() -> None:
    if not settings.SSO_ISSUER:
        raise Http404

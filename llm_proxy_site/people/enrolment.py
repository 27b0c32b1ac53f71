"""The page on which somebody takes up a second factor, or gives it up. Secrets are in one answer only."""

from typing import Any

import django_otp
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from audit.actors import of_user
from llm_proxy_site.people import second_factor
from llm_proxy_site.people.forms import WRONG, CodeForm


@sensitive_post_parameters("code")
@sensitive_variables("context", "shown")
def second_factor_page(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """`context`: of the site. The user is of staff, and has given a code if they have to."""
    assert isinstance(request.user, User)
    acts = {"begin": _begin, "confirm": _confirm, "remove": _remove}
    act = acts.get(request.POST.get("act", "")) if request.method == "POST" else None
    shown = act(request, request.user) if act else {}
    page = {
        **context,
        "title": "Second factor",
        "form": CodeForm(),
        "is_enrolled": second_factor.is_enrolled(request.user),
        **shown,
    }
    return TemplateResponse(request, "admin/second_factor.html", page, headers={"Cache-Control": "no-store"})


def _begin(request: HttpRequest, user: User) -> dict[str, Any]:
    if second_factor.is_enrolled(user):
        return {}
    return {"is_begun": True, "secret": second_factor.begin(user)}


def _confirm(request: HttpRequest, user: User) -> dict[str, Any]:
    confirmed = second_factor.confirm(user, request.POST.get("code", ""), actor=of_user(user))
    if confirmed is None:
        return {"is_begun": True, "problem": WRONG}
    device, codes = confirmed
    request.session.cycle_key()  # who has learnt the key of before gains nothing by what it is worth now
    django_otp.login(request, device)  # this session need not sign in again; the person's others must
    return {"recovery_codes": codes}


def _remove(request: HttpRequest, user: User) -> dict[str, Any]:
    if second_factor.check(user, request.POST.get("code", "")) is None:
        return {"problem": WRONG}
    second_factor.remove(user, actor=of_user(user))
    return {}

"""The admin site: Django's, with signing in bounded and audited."""

from typing import Any

from django.conf import settings
from django.contrib.admin import AdminSite
from django.contrib.auth.models import User
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django_otp.plugins.otp_static.models import StaticDevice

from audit import trail
from audit.actors import STRANGER, of_user
from audit.refusals import refusals
from llm_proxy_site.people.attempts import seconds_to_wait, too_many
from llm_proxy_site.people.enrolment import second_factor_page
from llm_proxy_site.people.forms import SignInForm
from llm_proxy_site.people.requests import address_of
from llm_proxy_site.people.second_factor import is_enrolled
from llm_proxy_site.sso.backend import is_vouched_for
from proxy.client_address import network_of


class ControlRoom(AdminSite):
    site_header = site_title = "LLM Proxy"
    index_title = "Control room"
    site_url = None  # there is no other site to view
    login_form = SignInForm
    login_template = "admin/sign_in.html"

    def has_permission(self, request: HttpRequest) -> bool:
        """To whoever has a second factor, or needs one, only if this session has given a code. That of people
        whom a provider vouches for is the provider's matter.
        """
        if not super().has_permission(request):
            return False
        if getattr(request.user, "otp_device", None) is not None or is_vouched_for(request):
            return True
        return not settings.SECOND_FACTOR_REQUIRED and not is_enrolled(_user(request))

    def get_urls(self) -> list[Any]:
        return [path("second-factor/", self.second_factor, name="second_factor"), *super().get_urls()]

    @method_decorator(never_cache)
    def second_factor(self, request: HttpRequest) -> HttpResponse:
        """Open to who still needs one; not to who has one and has given no code."""
        if not (self.has_permission(request) or self._must_enrol(request)):
            return redirect_to_login(request.get_full_path(), reverse("admin:login"))
        context = {**self.each_context(request), "is_required": settings.SECOND_FACTOR_REQUIRED}
        return second_factor_page(request, context)

    def _must_enrol(self, request: HttpRequest) -> bool:
        return (
            settings.SECOND_FACTOR_REQUIRED
            and super().has_permission(request)
            and not is_vouched_for(request)
            and not is_enrolled(_user(request))
        )

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Django gives a new session to who signs in, so that none can be foisted on them before."""
        extra_context = {**(extra_context or {}), **_ways_to_sign_in()}
        if request.method != "POST":
            if self._must_enrol(request):
                return HttpResponseRedirect(reverse("admin:second_factor"))
            return super().login(request, extra_context)
        name = request.POST.get("username", "")
        if wait := seconds_to_wait(request, name):
            return too_many(request, wait, self.each_context(request))
        answer = super().login(request, extra_context)
        if answer.status_code == 302:
            details = {"by": "recovery code"} if _used_a_recovery_code(request) else {}
            trail.record("user.signed_in", _user(request), actor=of_user(request.user), details=details)
        else:
            _record_failure(name, address_of(request))
        return answer

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        user = request.user
        answer = super().logout(request, extra_context)
        if isinstance(user, User) and not request.user.is_authenticated:
            trail.record("user.signed_out", user, actor=of_user(user))
        return answer

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        answer = super().password_change(request, extra_context)
        if request.method == "POST" and answer.status_code == 302:
            trail.record("user.password_changed", _user(request), actor=of_user(request.user))
        return answer


def _ways_to_sign_in() -> dict[str, Any]:
    return {"sso_name": settings.SSO_NAME if settings.SSO_ISSUER else "", "sso_only": settings.SSO_ONLY}


def _used_a_recovery_code(request: HttpRequest) -> bool:
    return isinstance(getattr(request.user, "otp_device", None), StaticDevice)


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


def _record_failure(name: str, address: str) -> None:
    """Each under somebody's name, for these are bounded. A name that is nobody's is not kept: people type
    their password into its field; and there is no end to such names, so not each of these is an event.
    """
    user = User.objects.filter(username=name).first()
    if user is not None:
        trail.record("user.sign_in_failed", user, actor=STRANGER)
    elif refused := refusals.due("user.sign_in_failed", network_of(address)):
        trail.record_act("user.sign_in_failed", "user", actor=STRANGER, details={"refused": refused})

"""Ways to another site: nobody is sent there by a link to ours."""

from urllib.parse import urljoin, urlsplit

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from tests.factories import UserFactory
from tests.refusals.answers import text_of
from tests.refusals.urls import urls
from tests.refusals.world import make_world

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery staple"
OURS = "http://testserver"
ELSEWHERE = [
    "https://evil.test/",
    "//evil.test/",
    "///evil.test/",
    "/\\evil.test/",
    "\\\\evil.test/",
    "http:evil.test",
    "https:///evil.test/",
    "javascript:alert(1)",
    "/\t/evil.test/",
    "http://testserver@evil.test/",
    "http://testserver.evil.test/",
    " https://evil.test/",
]
NAMES = ["next", "url", "redirect", "return_to", "_popup", "_changelist_filters"]


def leads_away(answer: HttpResponse) -> bool:
    """As a browser reads the address: backslashes are slashes, tabs and newlines are nothing."""
    target = answer.headers.get("Location", "")
    for nothing in "\t\r\n":
        target = target.replace(nothing, "")
    parts = urlsplit(urljoin(f"{OURS}/admin/", target.strip().replace("\\", "/")))
    return f"{parts.scheme}://{parts.netloc}" != OURS


@pytest.mark.parametrize("target", ELSEWHERE)
def test_signing_in_and_out_lead_nowhere_else(target: str) -> None:
    UserFactory(superuser=True, username="ada", password=PASSWORD)
    client = Client()
    login, form = reverse("admin:login"), {"username": "ada", "password": PASSWORD, "next": target}
    shown = client.get(login, {"next": target})
    assert shown.status_code == 200
    answer = client.post(login, form)
    assert (answer.status_code, leads_away(answer)) == (302, False)
    assert not leads_away(client.get(login, {"next": target}))  # who is signed in is sent on at once
    away = client.post(reverse("admin:logout") + f"?next={target}", {"next": target})
    assert away.status_code in (200, 302)
    assert not leads_away(away)


def test_no_page_leads_elsewhere_whatever_it_is_asked() -> None:
    world = make_world()
    client = Client()
    for is_signed_in in (False, True):
        if is_signed_in:
            client.force_login(UserFactory(superuser=True))
        for url in urls(world):
            answer = client.get(url.path, dict.fromkeys(NAMES, "//evil.test/"))
            assert not leads_away(answer), url
            text_of(answer)


@pytest.mark.parametrize(
    "path", ["//evil.test", "///evil.test/..", "/\\evil.test", "/%5cevil.test", "/admin//evil.test"]
)
@pytest.mark.parametrize("is_signed_in", [False, True])
def test_paths_that_look_like_other_sites_lead_nowhere_else(path: str, is_signed_in: bool) -> None:
    """Slashes are appended to paths, and who must sign in is told where they wanted to go."""
    client = Client()
    if is_signed_in:
        client.force_login(UserFactory(superuser=True))
    for each in (path, f"{path}/", f"{path}/%2e%2e"):
        answer = client.get("/", PATH_INFO=each)
        assert not leads_away(answer), each


def test_the_name_of_another_host_is_refused() -> None:
    """Addresses that pages show are made of it."""
    for headers in ({"Host": "evil.test"}, {"Host": "testserver@evil.test"}):
        answer = Client(raise_request_exception=False).get("/admin/", headers=headers)
        assert answer.status_code == 400
    answer = Client().get("/", headers={"X-Forwarded-Host": "evil.test"})
    assert not leads_away(answer)

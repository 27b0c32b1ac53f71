"""What answers beside Django's URLs: middlewares, the data plane, the holder's paths, WebSockets. At a real
server, with whatever else could pass for a credential there.
"""

from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.test import Client

from llm_proxy_site.live.routing import PATH as FEED
from proxy import holder, token_exchange
from tests.e2e.test_live_feed import status_of
from tests.factories import UserFactory, issue_token
from tests.live import LiveProxy
from tests.management import key_of
from tests.refusals.answers import text_of
from tests.refusals.world import MARK, World, make_world
from tests.sockets import talking

ANSWERING = {
    "llm_proxy_site.health.middleware": {"/live", "/ready", "/health"},
    "whitenoise.middleware.WhiteNoiseMiddleware": {"/static/llm_proxy/admin.css"},
}
SILENT = {
    "llm_proxy_site.people.requests.middleware",
    "llm_proxy_site.api.middleware.middleware",
    "llm_proxy_site.security_headers.middleware",
    "llm_proxy_site.wrong_paths.middleware",
    "llm_proxy_site.outages.DatabaseOutageMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
}
"""They answer no path of their own."""
DATA_PLANE = {
    ("GET", "/v1/models"),
    ("POST", "/v1/chat/completions"),
    ("GET", "/v1"),
    ("GET", "/v1/nothing"),
    *((method, path) for path, methods in holder.METHODS.items() for method in methods),
}


def test_every_middleware_is_in_a_table() -> None:
    """One that answers a path is asked below."""
    assert set(settings.MIDDLEWARE) == ANSWERING.keys() | SILENT


@pytest.mark.django_db
def test_what_is_public_tells_of_no_project() -> None:
    make_world()
    for url in set().union(*ANSWERING.values()):
        for method in ("GET", "POST", "DELETE"):
            answer = Client().generic(method, url)
            assert MARK not in text_of(answer)
            assert answer.status_code in ((200, 503) if method == "GET" else (403, 404, 405)), (method, url)


def _credentials(world: World) -> dict[str, dict[str, str]]:
    """That are good elsewhere."""
    ada = UserFactory(superuser=True)
    client = Client()
    client.force_login(ada)
    return {
        "none": {},
        "a session": {"cookie": f"sessionid={client.cookies['sessionid'].value}"},
        "a key of the management API": {"authorization": f"Bearer {key_of(ada)}"},
        "a token in another scheme": {"authorization": f"Basic {world.plain}"},
        "a token as a key of upstream's": {"api-key": world.plain, "x-api-key": world.plain},
        "a token in a cookie": {"cookie": f"authorization={world.plain}"},
    }


def test_the_data_plane_takes_access_tokens_only(live: LiveProxy) -> None:
    world = make_world(beside_a_server=True)
    with httpx.Client(base_url=live.url) as http:
        for what, headers in _credentials(world).items():
            for method, path in DATA_PLANE:
                answer = http.request(method, path, headers=headers, params={"access_token": world.plain})
                assert answer.status_code in (401, 404), (what, method, path, answer.text)
                assert MARK not in answer.text
            answer = http.post(token_exchange.PATH, headers=headers)
            assert answer.status_code == 400, what
        bearer = {"authorization": f"Bearer {world.plain}"}
        assert MARK in http.get("/token", headers=bearer).text
        for path in ("/admin/", "/admin/tokens/accesstoken/"):
            assert http.get(path, headers=bearer).headers["location"].startswith("/admin/login/")
        assert http.get("/manage/tokens", headers=bearer).status_code == 401


def test_a_token_opens_its_own_project_only(live: LiveProxy) -> None:
    make_world(beside_a_server=True)
    _, plain = issue_token()
    answer = httpx.get(f"{live.url}/token", headers={"authorization": f"Bearer {plain}"})
    assert answer.status_code == 200
    assert MARK not in answer.text


@talking
async def test_websockets_refuse_whom_they_must(live: LiveProxy) -> None:
    world = await sync_to_async(make_world)(beside_a_server=True)
    credentials = await sync_to_async(_credentials)(world)
    for what, headers in credentials.items():
        for path in ("/v1/realtime?model=x", "/v1/responses", "/v1/nothing", "/nothing", "/admin/"):
            status = await status_of(live, headers, path)
            assert status in (401, 403, 404), (what, path, status)
        if what != "a session":
            assert await status_of(live, headers | {"origin": live.url}, FEED) == 403, what
    session = credentials["a session"]
    for origin in ({}, {"origin": "https://evil.test"}, {"origin": "null"}):
        assert await status_of(live, session | origin, FEED) == 403, origin
    assert await status_of(live, session | {"origin": live.url}, FEED) == 101
    bearer: dict[str, Any] = {"authorization": f"Bearer {world.plain}", "origin": live.url}
    assert await status_of(live, bearer, FEED) == 403

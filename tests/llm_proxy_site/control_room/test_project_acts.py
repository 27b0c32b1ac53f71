"""What the pages of projects do: try a key, revoke all tokens, switch off and on."""

import httpx
import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from audit.models import AuditEvent
from projects.access import ADMIN, OPERATOR, VIEWER
from projects.models import Project, UpstreamKey
from tests.factories import UPSTREAM_KEY, AccessTokenFactory, ProjectFactory, UserFactory
from tests.live import LiveProxy
from tokens.models import AccessToken


@pytest.fixture
def ada(client: Client, db: None) -> Client:
    client.force_login(UserFactory(superuser=True, username="ada"))
    return client


def page(project: Project) -> str:
    return reverse("admin:projects_project_change", args=[project.pk])


def try_key(client: Client, project: Project) -> str:
    """The page that follows."""
    url = reverse("test_upstream_key", args=[UpstreamKey.objects.get(project=project).pk])
    return client.post(url, follow=True).content.decode()


def test_a_key_is_tried_as_a_request_of_its_project_would(live: LiveProxy, ada: Client) -> None:
    marker = "org-tried-by-ada"
    project = ProjectFactory(
        base_url=live.upstream_url,
        upstream_organization=marker,
        upstream_project="proj_1",
        upstream_key__plain="sk-upstream-tried-0001",
    )
    html = try_key(ada, project)
    assert "…0001 works: 200 after" in html
    assert "models." in html
    (asked,) = live.upstream_requests(marker)
    assert asked["target"].endswith("/v1/models")
    headers = {name.lower(): value for name, value in asked["headers"]}
    assert headers["authorization"] == "Bearer sk-upstream-tried-0001"
    assert (headers["openai-organization"], headers["openai-project"]) == (marker, "proj_1")
    event = AuditEvent.objects.latest("id")
    assert (event.action, event.actor, event.details) == ("upstream_key.tested", "user:ada", {"works": True})
    assert "sk-upstream-tried" not in html


def test_a_key_that_upstream_refuses_is_told_without_its_words(live: LiveProxy, ada: Client) -> None:
    project = ProjectFactory(base_url=live.upstream_url, upstream_key__plain="sk-upstream-refused-0002")
    live.fault_key("sk-upstream-refused-0002", status="401")
    html = try_key(ada, project)
    assert "…0002 does not work: upstream answers 401" in html
    assert "sk-upstream-refused" not in html
    assert AuditEvent.objects.latest("id").details == {"works": False}


def test_an_upstream_that_cannot_be_reached_is_told(ada: Client) -> None:
    assert "upstream did not answer (ConnectError)" in try_key(
        ada, ProjectFactory(base_url="http://127.0.0.1:9/v1")
    )


def test_a_provider_that_is_not_configured_is_told(ada: Client) -> None:
    assert "the provider gone is not configured" in try_key(ada, ProjectFactory(provider="gone"))


def test_a_key_that_cannot_be_decrypted_is_told(ada: Client) -> None:
    project = ProjectFactory()
    UpstreamKey.objects.update(ciphertext="nonsense")
    assert "no key in ENCRYPTION_KEYS decrypts it" in try_key(ada, project)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"[1]",
        b'{"error": "x"}',
        b'{"error": {"code": "<b>sk-1</b>"}}',
        b'{"error": {"code": 7}}',
    ],
)
def test_what_upstream_answers_in_place_of_a_list_is_not_quoted(
    ada: Client, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(500, content=body))
    client = httpx.Client
    monkeypatch.setattr(httpx, "Client", lambda **options: client(transport=transport))
    html = try_key(ada, ProjectFactory())
    assert "does not work: upstream answers 500 after" in html
    assert "sk-1" not in html


def test_keys_are_tried_by_those_only_who_may_change_them(client: Client, db: None) -> None:
    project = ProjectFactory()
    url = reverse("test_upstream_key", args=[UpstreamKey.objects.get().pk])
    assert client.post(url).status_code == 302
    client.force_login(UserFactory(role=OPERATOR, projects=[project]))
    assert client.post(url).status_code == 403
    assert f'formaction="{url}"' not in client.get(page(project)).content.decode()
    changer = UserFactory(is_staff=True)
    changer.user_permissions.set(
        Permission.objects.filter(codename__in=["change_upstreamkey", "view_project"])
    )
    client.force_login(changer)
    assert client.post(url).status_code == 404
    client.force_login(UserFactory(role=ADMIN))
    assert client.get(url).status_code == 405
    assert f'formaction="{url}"' in client.get(page(project)).content.decode()


def test_a_key_is_not_in_the_page_that_tries_it(ada: Client) -> None:
    assert UPSTREAM_KEY not in ada.get(page(ProjectFactory())).content.decode()


def test_all_tokens_of_a_project_are_revoked_after_a_question(ada: Client) -> None:
    project = ProjectFactory(name="<b>shop</b>")
    for _ in range(3):
        AccessTokenFactory(project=project)
    other = AccessTokenFactory()
    url = reverse("revoke_tokens", args=[project.pk])
    asked = ada.get(url).content.decode()
    assert "Revoke 3 tokens" in asked
    assert "<b>shop" not in asked
    assert AccessToken.objects.filter(revoked_at=None).count() == 4
    assert "Revoked: 3." in ada.post(url, follow=True).content.decode()
    assert list(AccessToken.objects.filter(revoked_at=None)) == [other]
    assert AuditEvent.objects.filter(action="token.revoked", actor="user:ada").count() == 3
    assert "revoked already" in ada.get(url).content.decode()


def test_tokens_are_revoked_by_those_only_who_may(client: Client, db: None) -> None:
    token = AccessTokenFactory()
    url = reverse("revoke_tokens", args=[token.project_id])
    assert client.post(url).status_code == 302
    for user, status in (
        (UserFactory(role=VIEWER, projects=[token.project]), 403),
        (UserFactory(role=OPERATOR, projects=[ProjectFactory()]), 404),
        (UserFactory(role=OPERATOR, projects=[token.project]), 302),
    ):
        assert AccessToken.objects.get().revoked_at is None
        client.force_login(user)
        assert client.post(url).status_code == status
    assert AccessToken.objects.get().revoked_at is not None


def test_a_project_is_switched_off_and_on_by_its_buttons(ada: Client) -> None:
    project = ProjectFactory()
    html = ada.post(page(project), {"_deactivate": "Deactivate"}, follow=True).content.decode()
    project.refresh_from_db()
    assert not project.is_active
    assert 'name="_activate"' in html
    assert 'name="_deactivate"' not in html
    ada.post(page(project), {"_activate": "Activate"})
    project.refresh_from_db()
    assert project.is_active
    actions = list(AuditEvent.objects.order_by("id").values_list("action", flat=True))
    assert actions == ["project.deactivated", "project.activated"]


def test_a_project_is_switched_by_those_only_who_may_change_it(client: Client, db: None) -> None:
    project = ProjectFactory()
    client.force_login(UserFactory(role=OPERATOR, projects=[project]))
    assert client.post(page(project), {"_deactivate": "Deactivate"}).status_code == 403
    assert 'name="_deactivate"' not in client.get(page(project)).content.decode()
    project.refresh_from_db()
    assert project.is_active

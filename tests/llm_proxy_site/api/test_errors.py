"""Whatever goes wrong under /manage/ is said in the shape of all our errors."""

import pytest
from django.db import OperationalError

from projects.models import Project
from tests.factories import UPSTREAM_KEY
from tests.management import Manager, refusal

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", ["", "/", "/nothing", "/projects/", "/tokens/x/y"])
def test_an_unknown_path_is_not_found(ada: Manager, path: str) -> None:
    response = ada.call("GET", path)
    if path == "":
        assert response.headers["Location"] == "/manage/"
        return
    assert refusal(response) == (404, "not_found", None)


def test_a_method_that_is_not_there_is_told_with_those_that_are(ada: Manager) -> None:
    response = ada.call("PUT", "/tokens")
    assert refusal(response) == (405, "method_not_allowed", None)
    assert response.headers["Allow"] == "GET, POST"


def test_a_body_that_is_not_json_is_refused(ada: Manager) -> None:
    response = ada._client.post(
        "/manage/tokens",
        "{",
        content_type="application/json",
        headers={"Authorization": f"Bearer {ada.plain}"},
    )
    assert refusal(response) == (400, "bad_request", None)


def test_what_was_sent_is_not_repeated(ada: Manager) -> None:
    for body in (
        {"name": 5, "upstream_key": UPSTREAM_KEY},
        {UPSTREAM_KEY: 1},
        {"upstream_key": [UPSTREAM_KEY]},
    ):
        response = ada.call("POST", "/projects", body)
        assert response.status_code == 422
        assert UPSTREAM_KEY not in response.content.decode()


def test_a_database_that_is_away_is_said(ada: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object, *args: object) -> None:
        raise OperationalError("connection refused by db.internal")

    monkeypatch.setattr(Project, "refresh_from_db", fail)
    monkeypatch.setattr("projects.api.project_facts", fail)
    project = Project.objects.create(name="alpha")
    response = ada.call("GET", f"/projects/{project.id}")
    assert refusal(response) == (503, "service_unavailable", None)
    assert response.headers["Retry-After"] == "5"


def test_a_fault_of_ours_is_said_without_its_reason(ada: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(project: Project) -> None:
        raise RuntimeError("a secret reason")

    monkeypatch.setattr("projects.api.project_facts", fail)
    project = Project.objects.create(name="alpha")
    response = ada.call("GET", f"/projects/{project.id}")
    assert refusal(response) == (500, "internal_error", None)
    assert "secret reason" not in response.content.decode()


def test_a_host_that_is_not_ours_is_refused_in_the_same_shape(ada: Manager) -> None:
    assert refusal(ada.call("GET", "/projects", Host="evil.example"))[0] == 400


def test_no_cache_keeps_an_answer(ada: Manager) -> None:
    for path in ("/projects", "/nothing"):
        assert ada.call("GET", path).headers["Cache-Control"] == "no-store"


def test_other_pages_stay_pages(ada: Manager) -> None:
    response = ada._client.get("/nothing")
    assert response.headers["Content-Type"].startswith("text/html")

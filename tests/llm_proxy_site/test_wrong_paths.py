from http import HTTPStatus

import pytest
from django.test import Client

from tests.factories import UserFactory

BEARER = {"Authorization": "Bearer sk-wt-whatever"}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("host", ["localhost", "any-name.example"])
def test_a_client_is_told_that_its_base_url_lacks_v1(client: Client, method: str, host: str) -> None:
    response = client.generic(method, "/chat/completions", b"{}", headers=BEARER | {"Host": host})

    assert response.status_code == HTTPStatus.NOT_FOUND
    assert response["Content-Type"] == "application/json"
    error = response.json()["error"]
    assert error["code"] == "endpoint_not_found"
    assert "does the base URL end in /v1?" in error["message"]
    assert "whatever" not in response.content.decode()


def test_a_person_sees_a_page(client: Client) -> None:
    response = client.get("/nothing")

    assert response.status_code == HTTPStatus.NOT_FOUND
    assert response["Content-Type"].startswith("text/html")


def test_the_management_api_speaks_for_itself(client: Client) -> None:
    response = client.get("/manage/nothing", headers=BEARER)

    assert response.json()["error"]["code"] == "not_found"


@pytest.mark.django_db
def test_a_path_that_is_there_is_answered(client: Client) -> None:
    client.force_login(UserFactory.create(superuser=True))

    assert client.get("/admin/", headers=BEARER).status_code == HTTPStatus.OK

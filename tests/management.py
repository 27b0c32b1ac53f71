"""Calling the management API in tests: in this process, as a person whose key has scopes."""

import json
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from llm_proxy_site.api.keys import create_api_key
from llm_proxy_site.api.scopes import ALL_SCOPES, ApiScope
from projects.models import Project
from tests.factories import UserFactory


def key_of(user: User, scopes: Iterable[ApiScope] = ALL_SCOPES) -> str:
    """The plain text of a new one."""
    _, plain = create_api_key(
        user, name="tests", scopes=scopes, ttl=timedelta(hours=1), actor="user:tests", now=timezone.now()
    )
    return plain


class Manager:
    """`call("POST", "/tokens", {...})`; an answer's JSON is checked to be JSON."""

    def __init__(self, plain: str | None) -> None:
        self.plain = plain
        self._client = Client(raise_request_exception=False)

    @classmethod
    def with_role(cls, role: str, *projects: Project, scopes: Iterable[ApiScope] = ALL_SCOPES) -> "Manager":
        return cls(key_of(UserFactory(role=role, projects=projects), scopes))

    @classmethod
    def of_superuser(cls, scopes: Iterable[ApiScope] = ALL_SCOPES) -> "Manager":
        return cls(key_of(UserFactory(superuser=True, username="ada"), scopes))

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> HttpResponse:
        if self.plain is not None:
            headers = {"Authorization": f"Bearer {self.plain}", **headers}
        sent = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        return self._client.generic(method, f"/manage{path}", headers=headers, **sent)

    def ask(self, path: str, **query: Any) -> Any:
        """What a GET that goes well tells."""
        response = self._client.get(
            f"/manage{path}", query, headers={"Authorization": f"Bearer {self.plain}"}
        )
        assert response.status_code == 200, response.content
        return response.json()

    def do(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """What an act that goes well tells."""
        response = self.call(method, path, body, **headers)
        assert response.status_code in (200, 201), response.content
        return json.loads(response.content)


def refusal(response: HttpResponse) -> tuple[int, str, str | None]:
    """Its status, code and param; the whole has the shape of all our errors."""
    body = json.loads(response.content)
    assert list(body) == ["error"], body
    assert list(body["error"]) == ["message", "type", "param", "code"], body
    assert response.headers["Content-Type"] == "application/json"
    return response.status_code, body["error"]["code"], body["error"]["param"]

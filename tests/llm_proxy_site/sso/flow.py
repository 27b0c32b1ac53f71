"""A person's way through the provider and back, as their browser goes it."""

from typing import Any
from urllib.parse import urlsplit

import httpx
from django.test import Client
from django.urls import reverse

from audit.models import AuditEvent

BROWSER = httpx.Client(trust_env=False)
"""One: each reads a hundred certificates."""
START, CALLBACK, INDEX = reverse("sso_start"), reverse("sso_callback"), reverse("admin:index")


def sign_in(client: Client, next: str = "") -> Any:  # noqa: A002
    """What our site answers to the answer of the provider."""
    return client.get(way_back(client, next))


def way_back(client: Client, next: str = "") -> str:  # noqa: A002
    """Where the provider sends the browser to: path and query."""
    there = client.get(START, {"next": next})
    assert there.status_code == 302, there.content.decode()
    back = urlsplit(BROWSER.get(there.headers["location"]).headers["location"])
    assert (back.scheme, back.netloc, back.path) == ("http", "testserver", CALLBACK)
    return f"{back.path}?{back.query}"


def is_signed_in(client: Client) -> bool:
    return client.get(INDEX).status_code == 200


def events() -> list[tuple[str, str, str]]:
    return list(AuditEvent.objects.order_by("sequence").values_list("action", "actor", "subject_name"))


def reason() -> str:
    """Of the last failure."""
    event = AuditEvent.objects.filter(action="user.sign_in_failed").latest("sequence")
    return str(event.details["reason"])

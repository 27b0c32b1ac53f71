"""The pages of the admin site that grow with the ledger, for `ledger`."""

from collections.abc import Callable
from http import HTTPStatus

from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse


def pages() -> dict[str, Callable[[], object]]:
    """Of the admin site, as an administrator sees them. The refused requests are the oldest of all."""
    client = Client(SERVER_NAME="localhost")
    client.force_login(User.objects.create_superuser("bench"))
    requests = reverse("admin:usage_usagerecord_changelist")

    def page(path: str) -> Callable[[], object]:
        def get() -> None:
            answer = client.get(path)
            if answer.status_code != HTTPStatus.OK:
                raise SystemExit(f"{path} answered {answer.status_code}.")

        return get

    return {
        "page_dashboard_24h": page(reverse("admin:index")),
        "page_dashboard_30d": page(reverse("admin:index") + "?over=30d"),
        "page_requests_24h": page(requests),
        "page_requests_all": page(f"{requests}?over=all"),
        "page_requests_refused": page(f"{requests}?over=all&outcome__exact=refused"),
    }

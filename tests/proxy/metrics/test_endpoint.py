"""Who may read /metrics."""

from ipaddress import ip_network
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from proxy.metrics import endpoint
from proxy.runtime import Runtime

TOKEN = "t" * 32


@pytest.fixture(autouse=True)
def _running(monkeypatch: pytest.MonkeyPatch) -> None:
    class Started:
        metrics = object()

    monkeypatch.setattr(Runtime, "_current", Started())


def scope(*headers: tuple[str, str], address: str = "10.1.2.3", method: str = "GET") -> dict[str, Any]:
    return {
        "method": method,
        "headers": [(name.encode(), value.encode()) for name, value in headers],
        "client": (address, 5000),
    }


def test_with_a_token_who_has_it_may(settings: Settings) -> None:
    settings.METRICS_TOKEN = TOKEN
    assert endpoint.may_read(scope(("authorization", f"Bearer {TOKEN}")))
    assert endpoint.may_read(scope(("authorization", f"bearer {TOKEN}"), method="HEAD"))
    for value in ("", "Bearer ", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer ä"):
        assert not endpoint.may_read(scope(("authorization", value)))
    assert not endpoint.may_read(scope(("authorization", f"Bearer {TOKEN}"), method="POST"))


def test_with_networks_who_is_there_may_and_nobody_through_a_front(settings: Settings) -> None:
    settings.METRICS_NETWORKS = (ip_network("10.0.0.0/8"), ip_network("::1"))
    settings.TRUSTED_PROXY_COUNT = 1
    assert endpoint.may_read(scope())
    assert endpoint.may_read(scope(address="::1"))
    assert endpoint.may_read(scope(address="::ffff:10.0.0.1"))
    assert not endpoint.may_read(scope(address="192.0.2.1"))
    for header in ("x-forwarded-for", "forwarded", "x-real-ip", "via"):
        assert not endpoint.may_read(scope((header, "10.0.0.1")))
    assert not endpoint.may_read({**scope(), "client": None})


def test_with_both_both_must_hold(settings: Settings) -> None:
    settings.METRICS_TOKEN, settings.METRICS_NETWORKS = TOKEN, (ip_network("10.0.0.0/8"),)
    assert endpoint.may_read(scope(("authorization", f"Bearer {TOKEN}")))
    assert not endpoint.may_read(scope())
    assert not endpoint.may_read(scope(("authorization", f"Bearer {TOKEN}"), address="192.0.2.1"))


def test_where_nothing_is_set_nobody_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Runtime._current, "metrics", None)
    assert not endpoint.may_read(scope(("authorization", "Bearer ")))
    assert not endpoint.may_read(scope(address="127.0.0.1"))

"""Where a client is said to be, and who is believed."""

from ipaddress import ip_address
from typing import Any

import pytest

from projects.rules import parse_rules
from projects.ruleset import make_ready
from proxy.client_address import client_address
from proxy.errors import Forbidden
from proxy.rules import check_network


def address(client: str | None, *forwarded: bytes, trusted: int = 0) -> str | None:
    scope: dict[str, Any] = {
        "client": (client, 5000) if client else None,
        "headers": [(b"x-forwarded-for", value) for value in forwarded],
    }
    found = client_address(scope, trusted_proxies=trusted)
    return None if found is None else str(found)


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        (None, None),
        ("unix", None),
    ],
)
def test_without_trusted_proxies_the_connection_tells(client: str | None, expected: str | None) -> None:
    assert address(client, b"203.0.113.9") == expected


@pytest.mark.parametrize(
    ("forwarded", "trusted", "expected"),
    [
        ([b"192.0.2.1"], 1, "192.0.2.1"),
        ([b"10.0.0.1, 192.0.2.1"], 1, "192.0.2.1"),
        ([b"10.0.0.1, 192.0.2.1"], 2, "10.0.0.1"),
        ([b"10.0.0.1", b"192.0.2.1, 198.51.100.1"], 2, "192.0.2.1"),
        ([b"::ffff:192.0.2.1"], 1, "192.0.2.1"),
        ([b"192.0.2.1:4711"], 1, "192.0.2.1"),
        ([b"[2001:db8::1]:4711"], 1, "2001:db8::1"),
        ([b"2001:db8::1"], 1, "2001:db8::1"),
        ([b"192.0.2.1"], 2, None),
        ([], 1, None),
        ([b""], 1, None),
        ([b"10.0.0.1, unknown"], 1, None),
        ([b"10.0.0.1,"], 1, None),
        ([b"fe80::1%eth0"], 1, None),
        ([b"192.0.2.01"], 1, None),
    ],
)
def test_behind_proxies_what_they_have_added_tells(
    forwarded: list[bytes], trusted: int, expected: str | None
) -> None:
    assert address("127.0.0.1", *forwarded, trusted=trusted) == expected


@pytest.mark.parametrize(
    ("client", "is_allowed"),
    [("10.1.2.3", True), ("11.0.0.1", False), ("2001:db8::7", True), ("2001:db9::7", False), (None, False)],
)
def test_networks_hold_addresses_of_their_kind(client: str | None, is_allowed: bool) -> None:
    ruleset = make_ready(parse_rules({"networks": ["10.0.0.0/8", "2001:db8::/32"]}))
    assert ruleset is not None
    where = ip_address(client) if client else None
    if is_allowed:
        check_network(ruleset, where, lambda code: None)
    else:
        with pytest.raises(Forbidden):
            check_network(ruleset, where, lambda code: None)

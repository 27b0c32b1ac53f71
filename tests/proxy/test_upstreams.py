"""What a process knows of upstreams: `check` and `admit` are of one mind."""

import time
from collections.abc import Callable

import pytest
from uuid_utils.compat import uuid7

from proxy import upstreams as module
from proxy.errors import UpstreamUnavailable
from proxy.upstreams import Upstreams
from tokens.grant import RingKey

URL = "http://upstream.example/v1"
A, B = RingKey(uuid7(), "sk-a"), RingKey(uuid7(), "sk-b")


def is_shut(upstreams: Upstreams, *keys: RingKey) -> bool:
    try:
        upstreams.check(URL, keys)
    except UpstreamUnavailable:
        return True
    return False


def shut(upstreams: Upstreams, key: RingKey) -> None:
    while not is_shut(upstreams, key):
        upstreams.admit(URL, (key,)).was_silent()


def test_a_key_that_rests_is_tried_when_those_awake_are_shut() -> None:
    upstreams = Upstreams()
    upstreams.ring.refused(A, "401", time.time())
    shut(upstreams, B)
    upstreams.check(URL, (A, B))

    assert upstreams.admit(URL, (A, B)).key is A


def test_when_all_are_shut_both_refuse_and_say_the_same() -> None:
    upstreams = Upstreams()
    shut(upstreams, A)
    shut(upstreams, B)
    asked: tuple[Callable[[str, tuple[RingKey, ...]], object], ...] = (upstreams.check, upstreams.admit)
    told: list[int] = []
    for ask in asked:
        with pytest.raises(UpstreamUnavailable) as raised:
            ask(URL, (A, B))
        told.append(raised.value.retry_after_ms or 0)

    assert min(told) > 10_000
    assert max(told) - min(told) < 1000


def test_a_connection_is_told_as_soon_as_it_stands() -> None:
    upstreams = Upstreams()
    while not is_shut(upstreams, A):
        upstreams.admit(URL, (A,)).was_unreachable()
    upstreams._upstreams[URL].breaker._open_until = 0.0
    slow = upstreams.admit(URL, (A,))
    others_before = is_shut(upstreams, B)
    slow.connected()
    slow.forget()

    assert (others_before, is_shut(upstreams, B)) == (True, False)


def test_an_upstream_is_known_as_long_as_one_of_its_keys_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ROUTES", 2)
    upstreams = Upstreams()
    upstreams.admit(URL, (A,)).forget()
    first = upstreams._upstreams[URL]
    for number in range(5):
        upstreams.admit(f"{URL}/{number}", (B,)).forget()
        upstreams.admit(URL, (A,)).forget()

    assert upstreams._upstreams[URL] is first
    assert len(upstreams._upstreams) == 2

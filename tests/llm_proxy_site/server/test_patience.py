"""The clocks by which clients are waited for, with a time of the test's own."""

from django.conf import settings

from llm_proxy_site.server.client_limits import DEFAULT_LIMITS, ClientLimits, connections_in
from llm_proxy_site.server.draining import CALM_IDLE_SECONDS
from llm_proxy_site.server.patience import WINDOW_SECONDS, BodyClock, HeadClock, Turn, WriteClock
from llm_proxy_site.server.places import Places

LIMITS = ClientLimits(
    header_seconds=10, idle_seconds=75, body_seconds=30, body_bytes_per_second=100, write_seconds=120
)


def test_a_head_has_its_time_from_its_beginning() -> None:
    clock = HeadClock(1000)

    assert not clock.is_late(1009.9, LIMITS)
    assert clock.is_late(1010, LIMITS)


def test_an_idle_connection_has_more_and_a_running_request_any_time() -> None:
    clock = HeadClock(0)
    clock.change(Turn.IDLE, 100)
    assert not clock.is_late(174, LIMITS)
    assert clock.is_late(175, LIMITS)

    clock.change(Turn.SERVER, 100)
    assert not clock.is_late(10_000, LIMITS)


def test_idle_connections_are_kept_longer_than_clients_keep_them() -> None:
    """Also while a worker retires, where the same clock goes on."""
    assert settings.CLIENT_IDLE_TIMEOUT_SECONDS == DEFAULT_LIMITS.idle_seconds > CALM_IDLE_SECONDS > 90


def test_a_body_may_be_silent_for_a_while_each_time() -> None:
    clock = BodyClock()
    for second in range(0, 290, 29):
        clock.wait(second)
        assert not clock.is_late(second + 29, LIMITS)
        clock.came(10_000, second + 29)

    clock.wait(290)
    assert clock.is_late(320, LIMITS)


def test_a_body_that_nobody_waits_for_is_never_late() -> None:
    clock = BodyClock()
    clock.wait(0)
    clock.came(1, 1)

    assert not clock.is_late(100_000, LIMITS)


def test_a_body_of_a_byte_now_and_then_is_late_after_a_window() -> None:
    clock = BodyClock()
    late = []
    for second in range(int(WINDOW_SECONDS) + 2):
        clock.wait(second)
        late.append(clock.is_late(second + 0.999, LIMITS))
        clock.came(1, second + 0.999)

    assert late.index(True) == WINDOW_SECONDS


def test_a_slow_but_steady_body_is_never_late() -> None:
    clock = BodyClock()
    for second in range(1000):
        clock.wait(second)
        assert not clock.is_late(second + 1, LIMITS)
        clock.came(110, second + 1)


def test_a_client_that_takes_a_byte_in_time_is_not_stalled() -> None:
    clock = WriteClock()
    assert not clock.is_late(0, 0, LIMITS)
    assert not clock.is_late(0, 119, LIMITS)
    assert not clock.is_late(1, 120, LIMITS)
    assert not clock.is_late(1, 239, LIMITS)
    assert clock.is_late(1, 240, LIMITS)


def test_a_client_for_whom_nothing_waits_begins_anew() -> None:
    clock = WriteClock()
    clock.is_late(5, 0, LIMITS)
    clock.rest()

    assert not clock.is_late(5, 500, LIMITS)


def test_an_address_has_its_places_and_another_has_others() -> None:
    places = Places(ClientLimits(max_connections=10, max_connections_per_address=2))

    assert [places.take("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert places.take("192.0.2.2")
    places.leave("192.0.2.1")
    assert places.take("192.0.2.1")


def test_addresses_of_one_ipv6_network_are_one() -> None:
    places = Places(ClientLimits(max_connections=10, max_connections_per_address=2))

    hosts = ["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1", "fe80::1%eth0"]
    assert [places.take(host) for host in hosts] == [True, True, False, True, True]


def test_without_a_bound_of_addresses_only_all_places_count() -> None:
    places = Places(ClientLimits(max_connections=3, max_connections_per_address=0))

    assert [places.take("192.0.2.1") for _ in range(3)] == [True, True, True]
    assert places.is_full
    assert places.are_scarce("192.0.2.9")


def test_half_of_few_files_is_for_clients() -> None:
    assert connections_in(20_000, 2000) == 17_744
    assert connections_in(1024, 2000) == 448

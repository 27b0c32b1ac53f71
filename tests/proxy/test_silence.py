"""Time in which upstream may have worked unseen."""

from proxy.metering.silence import Silence
from tests.clock import Clock


def test_all_is_silence_until_something_is_heard() -> None:
    clock = Clock()
    silence = Silence(clock)
    clock.now = 105.0
    silence.begin()
    clock.now = 112.0

    assert silence.seconds == 7.0


def test_the_pauses_between_pieces_are_none() -> None:
    clock = Clock()
    silence = Silence(clock)
    for _ in range(100):
        clock.now += 0.9
        silence.heard()

    assert silence.seconds == 0.0


def test_silences_add_up() -> None:
    clock = Clock()
    silence = Silence(clock)
    for pause in (3.0, 0.5, 2.0, 0.5):
        clock.now += pause
        silence.heard()
    clock.now += 1.5

    assert silence.seconds == 6.5

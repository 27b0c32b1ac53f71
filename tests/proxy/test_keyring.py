"""Which key is next, by itself."""

from collections import Counter

from uuid_utils.compat import uuid7

from proxy.keyring import MAX_KEYS, KeyHealth, KeyRing, Rests
from tokens.grant import RingKey

NOW = 1_900_000_000.0
A, B, C = (RingKey(uuid7(), f"sk-{name}") for name in "abc")


class World:
    def __init__(self) -> None:
        self.told: list[KeyHealth] = []
        self.ring = KeyRing(Rests(refused=600, quota=60), self.told.append)


def test_a_printed_key_does_not_show_its_value() -> None:
    assert A.value not in repr(A)


def test_keys_are_chosen_by_weight() -> None:
    heavy = RingKey(uuid7(), "sk-heavy", weight=3)
    chosen = Counter(World().ring.choose((A, heavy), NOW)[0].value for _ in range(4000))
    assert 2800 < chosen["sk-heavy"] < 3200


def test_a_refused_key_rests_longer_than_one_without_quota() -> None:
    world = World()
    world.ring.refused(A, "401", NOW)
    world.ring.ran_out(B, "429", NOW, None)
    assert [world.ring.is_resting(key, NOW + 61) for key in (A, B, C)] == [True, False, False]
    *awake, last = world.ring.choose((A, B, C), NOW + 61)
    assert ({key.value for key in awake}, last) == ({B.value, C.value}, A)
    assert [health.cooling_until - NOW for health in world.told] == [600, 60]


def test_the_rest_that_upstream_asks_for_is_kept_and_bounded() -> None:
    world = World()
    world.ring.ran_out(A, "429", NOW, 5)
    world.ring.ran_out(B, "429", NOW, 1e9)
    assert [health.cooling_until - NOW for health in world.told] == [5, 3600]


def test_of_keys_that_all_rest_the_first_to_end_is_used() -> None:
    world = World()
    world.ring.refused(A, "401", NOW)
    world.ring.ran_out(B, "429", NOW, 10)
    assert world.ring.choose((A, B), NOW) == (B,)


def test_the_only_key_is_used_whatever_is_known_of_it() -> None:
    world = World()
    world.ring.refused(A, "401", NOW)
    assert world.ring.choose((A,), NOW) == (A,)


def test_a_key_that_answers_although_it_rests_is_well_again() -> None:
    world = World()
    world.ring.refused(A, "401", NOW)
    world.ring.works(A, was_resting=True)
    world.ring.works(B, was_resting=True)
    assert not world.ring.is_resting(A, NOW)
    assert world.told[1:] == [KeyHealth(A.id, "401", NOW, 0.0)]


def test_an_answer_to_what_was_asked_before_the_rest_ends_none() -> None:
    world = World()
    world.ring.ran_out(A, "429", NOW, None)
    world.ring.works(A, was_resting=False)
    assert world.ring.is_resting(A, NOW)


def test_a_refusal_that_is_the_requests_doing_ends_no_rest() -> None:
    world = World()
    world.ring.ran_out(A, "429", NOW, 600)
    world.ring.forbidden(A, "403", NOW)
    assert world.ring.is_resting(A, NOW + 599)


def test_a_key_without_quota_rests_whatever_upstream_says() -> None:
    world = World()
    world.ring.ran_out(A, "429", NOW, 0.005)
    assert world.ring.is_resting(A, NOW + 4)


def test_one_token_alone_makes_no_key_rest_by_what_only_one_key_was_asked() -> None:
    world = World()
    for _ in range(5):
        world.ring.suspected(A, "401", NOW, B.id)
    alone = world.ring.is_resting(A, NOW)
    world.ring.works(A, was_resting=False)
    world.ring.suspected(A, "401", NOW, C.id)
    after_success = world.ring.is_resting(A, NOW)
    world.ring.suspected(A, "401", NOW, B.id)
    assert (alone, after_success, world.ring.is_resting(A, NOW)) == (False, False, True)


def test_what_is_known_is_bounded() -> None:
    world = World()
    for _ in range(MAX_KEYS + 10):
        world.ring.refused(RingKey(uuid7(), "sk-x"), "401", NOW)
    assert len(world.ring.snapshot()) == MAX_KEYS

"""With a real issuer, and a clock of the test's own."""

import asyncio

import pytest

from tests.clock import Clock
from tests.issuers import Issuer, ec_jwk, rsa_jwk
from tests.live import eventually_async
from tokens.exchange.errors import IssuerUnavailableError, RefusedError
from tokens.exchange.fetching import fetch_keys
from tokens.exchange.keys import FRESH_SECONDS, LEAST_SECONDS, STALE_SECONDS, IssuerKeys


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(clock: Clock) -> IssuerKeys:
    return IssuerKeys(fetch_keys, clock=clock)


def fetches(issuer: Issuer) -> int:
    return issuer.asked.count("/.well-known/openid-configuration")


async def test_keys_are_read_once_for_all_who_ask(issuer: Issuer, keys: IssuerKeys) -> None:
    found = await asyncio.gather(*(keys.find(issuer.url, name) for name in ["rsa", "ec"] * 10))
    assert {key.key_id for key in found} == {"rsa", "ec"}
    assert fetches(issuer) == 1


async def test_a_key_that_was_added_is_found_when_it_is_named(
    issuer: Issuer, keys: IssuerKeys, clock: Clock
) -> None:
    await keys.find(issuer.url, "rsa")
    issuer.keys.append(ec_jwk("ec-new"))
    clock.now += LEAST_SECONDS
    assert (await keys.find(issuer.url, "ec-new")).key_id == "ec-new"


async def test_made_up_key_ids_do_not_make_the_issuer_asked(
    issuer: Issuer, keys: IssuerKeys, clock: Clock
) -> None:
    for second in range(46):
        clock.now = 1000.0 + second
        with pytest.raises(RefusedError, match="no such key"):
            await keys.find(issuer.url, f"made-up-{second}")
    assert fetches(issuer) == 4


async def test_a_key_that_was_withdrawn_is_refused_when_the_next_look_is_over(
    issuer: Issuer, keys: IssuerKeys, clock: Clock
) -> None:
    await keys.find(issuer.url, "rsa")
    issuer.keys = [rsa_jwk("next")]
    clock.now += FRESH_SECONDS
    await keys.find(issuer.url, "rsa")  # nobody waits for the look that this begins
    await eventually_async(lambda: issuer.asked[-1] == "/keys" and fetches(issuer) == 2)
    assert (await keys.find(issuer.url, "next")).key_id == "next"
    with pytest.raises(RefusedError):
        await keys.find(issuer.url, "rsa")


async def test_old_keys_hold_while_the_issuer_is_down_but_not_for_ever(
    issuer: Issuer, keys: IssuerKeys, clock: Clock
) -> None:
    await keys.find(issuer.url, "rsa")
    issuer.fault = "down"
    clock.now += STALE_SECONDS - 1
    assert (await keys.find(issuer.url, "rsa")).key_id == "rsa"
    with pytest.raises(IssuerUnavailableError):
        await keys.find(issuer.url, "new")
    clock.now += LEAST_SECONDS
    with pytest.raises(IssuerUnavailableError):
        await keys.find(issuer.url, "rsa")
    issuer.fault = ""
    clock.now += LEAST_SECONDS
    assert (await keys.find(issuer.url, "rsa")).key_id == "rsa"


async def test_an_issuer_that_is_down_is_not_asked_more_often(
    issuer: Issuer, keys: IssuerKeys, clock: Clock
) -> None:
    issuer.fault = "down"
    for _ in range(10):
        with pytest.raises(IssuerUnavailableError):
            await keys.find(issuer.url, "rsa")
    assert fetches(issuer) == 1


async def test_who_gives_up_waiting_takes_nothing_from_the_others(issuer: Issuer, keys: IssuerKeys) -> None:
    impatient = asyncio.create_task(keys.find(issuer.url, "rsa"))
    patient = asyncio.create_task(keys.find(issuer.url, "rsa"))
    await asyncio.sleep(0)
    impatient.cancel()
    assert (await patient).key_id == "rsa"
    assert fetches(issuer) == 1

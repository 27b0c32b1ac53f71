"""Unknown tokens in great numbers: what they cost, and whom they hold up."""

import asyncio
from typing import Any

import pytest

from proxy.errors import RateLimitReached
from proxy.screening import (
    CREDIT,
    CREDIT_OF_ALL,
    CREDIT_OF_ALL_PER_SECOND,
    CREDIT_PER_SECOND,
    MAX_WAITING,
    ROUND_SECONDS,
    Screening,
)
from tests.grants import make_grant
from tokens.directory import DirectoryUnavailableError, UnknownTokenError
from tokens.grant import Grant

HERE = "192.0.2.1"


class Database:
    """Has the tokens of `known`, and counts what it is asked."""

    def __init__(self, *known: str) -> None:
        self.known = set(known)
        self.queries = 0
        self.is_away = False

    async def find(self, digest: str) -> Grant:
        self._ask()
        if digest not in self.known:
            raise UnknownTokenError
        return make_grant(digest=digest)

    async def find_known(self, digests: list[str]) -> frozenset[str]:
        self._ask()
        return frozenset(digests) & self.known

    def _ask(self) -> None:
        self.queries += 1
        if self.is_away:
            raise DirectoryUnavailableError


async def outcomes(
    screening: Screening, database: Database, digests: list[str], address: str = HERE
) -> list[Any]:
    """What each of the look-ups at once comes to: a grant or an exception."""
    asked = [screening.look_up(address, digest, database.find) for digest in digests]
    return await asyncio.gather(*asked, return_exceptions=True)


def bad(count: int) -> list[str]:
    return [f"bad-{number}" for number in range(count)]


async def test_many_guesses_cost_few_queries() -> None:
    database = Database()
    screening = Screening(database.find_known)
    answers = await outcomes(screening, database, bad(900))

    assert {type(answer) for answer in answers} == {UnknownTokenError}
    assert database.queries <= CREDIT + 2


async def test_a_good_token_among_guesses_waits_for_one_round() -> None:
    database = Database("good")
    screening = Screening(database.find_known)
    *_, good = await outcomes(screening, database, [*bad(500), "good"])

    assert good.digest == "good"
    assert database.queries <= CREDIT + 3


async def test_a_token_that_was_good_before_does_not_wait() -> None:
    database = Database("good")
    screening = Screening(database.find_known)
    await outcomes(screening, database, ["good"])
    await outcomes(screening, database, bad(100))
    async with asyncio.timeout(ROUND_SECONDS / 2):
        grant = await screening.look_up(HERE, "good", database.find)

    assert grant.digest == "good"


async def test_another_address_does_not_wait() -> None:
    database = Database("good")
    screening = Screening(database.find_known)
    await outcomes(screening, database, bad(100))
    async with asyncio.timeout(ROUND_SECONDS / 2):
        grant = await screening.look_up("192.0.2.2", "good", database.find)

    assert grant.digest == "good"


async def test_good_tokens_cost_no_credit() -> None:
    good = [f"good-{number}" for number in range(10 * CREDIT)]
    database = Database(*good, "last")
    screening = Screening(database.find_known)
    for digest in good:
        await screening.look_up(HERE, digest, database.find)
    async with asyncio.timeout(ROUND_SECONDS / 2):
        await screening.look_up(HERE, "last", database.find)


async def test_credit_comes_back() -> None:
    now = 0.0
    database = Database("good")
    screening = Screening(database.find_known, clock=lambda: now)
    await outcomes(screening, database, bad(CREDIT))
    now += 1.01 / CREDIT_PER_SECOND
    async with asyncio.timeout(ROUND_SECONDS / 2):
        await screening.look_up(HERE, "good", database.find)


async def test_an_address_does_not_pay_where_the_credit_of_all_is_used_up() -> None:
    now = 0.0
    database = Database("good")
    screening = Screening(database.find_known, clock=lambda: now)
    asked = [f"198.51.100.{number}" for number in range(CREDIT_OF_ALL)] + [HERE] * CREDIT
    lookups = [screening.look_up(address, f"bad-{n}", database.find) for n, address in enumerate(asked)]
    await asyncio.gather(*lookups, return_exceptions=True)
    now += 1.01 / CREDIT_OF_ALL_PER_SECOND
    async with asyncio.timeout(ROUND_SECONDS / 2):
        await screening.look_up(HERE, "good", database.find)


async def test_many_addresses_together_cost_few_queries_too() -> None:
    database = Database()
    screening = Screening(database.find_known)
    asked = [screening.look_up(f"192.0.2.{number}", f"bad-{number}", database.find) for number in range(900)]
    await asyncio.gather(*asked, return_exceptions=True)

    assert database.queries < 250


async def test_what_does_not_fit_into_the_line_is_told_to_come_again() -> None:
    database = Database()
    screening = Screening(database.find_known, clock=lambda: 0.0)
    answers = await outcomes(screening, database, bad(MAX_WAITING + CREDIT + 50))

    crowded = [answer for answer in answers if isinstance(answer, RateLimitReached)]
    assert len(crowded) == 50
    assert {answer.retry_after_ms for answer in crowded} == {1000}


async def test_a_database_that_is_away_says_nothing_of_tokens_in_line() -> None:
    database = Database()
    screening = Screening(database.find_known)
    await outcomes(screening, database, bad(CREDIT))
    database.is_away = True

    with pytest.raises(DirectoryUnavailableError):
        await screening.look_up(HERE, "good", database.find)


async def test_a_round_that_fails_keeps_nobody_in_line() -> None:
    is_asked, may_fail = asyncio.Event(), asyncio.Event()

    async def fail(digests: list[str]) -> frozenset[str]:
        is_asked.set()
        await may_fail.wait()
        raise RuntimeError

    database = Database()
    screening = Screening(fail)
    await outcomes(screening, database, bad(CREDIT))
    first = asyncio.create_task(screening.look_up(HERE, "first", database.find))
    await is_asked.wait()
    second = asyncio.create_task(screening.look_up(HERE, "second", database.find))
    await asyncio.sleep(0)
    may_fail.set()
    async with asyncio.timeout(5):
        answers = await asyncio.gather(first, second, return_exceptions=True)

    assert {type(answer) for answer in answers} == {DirectoryUnavailableError}

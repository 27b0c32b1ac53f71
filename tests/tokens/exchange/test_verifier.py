import asyncio

import pytest

from tests.issuers import Issuer
from tokens.exchange.errors import RefusedError
from tokens.exchange.fetching import fetch_keys
from tokens.exchange.keys import IssuerKeys
from tokens.exchange.verifier import Verifier


class Rules:
    """The issuers that rules name, and how often they were looked for."""

    def __init__(self, *issuers: str) -> None:
        self.issuers = frozenset(issuers)
        self.looks = 0

    async def load(self) -> frozenset[str]:
        self.looks += 1
        return self.issuers


async def test_a_trusted_issuer_is_looked_for_once_in_a_while(issuer: Issuer) -> None:
    rules = Rules(issuer.url)
    verifier = Verifier(rules.load, IssuerKeys(fetch_keys))
    for _ in range(5):
        assert (await verifier.verify(issuer.jwt())).issuer == issuer.url
    assert rules.looks == 1


async def test_all_who_bring_unknown_issuers_share_one_look(issuer: Issuer) -> None:
    rules = Rules()
    verifier = Verifier(rules.load, IssuerKeys(fetch_keys))
    attempts = [verifier.verify(issuer.jwt(iss=f"https://{number}.example.com")) for number in range(50)]
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {RefusedError}
    assert rules.looks == 1
    assert issuer.asked == []


async def test_a_new_issuer_is_found_at_once(issuer: Issuer) -> None:
    rules = Rules()
    verifier = Verifier(rules.load, IssuerKeys(fetch_keys))
    with pytest.raises(RefusedError):
        await verifier.verify(issuer.jwt())
    rules.issuers = frozenset([issuer.url])
    assert await verifier.verify(issuer.jwt())


async def test_a_failed_look_is_everybodys_own(issuer: Issuer) -> None:
    class Broken(Rules):
        async def load(self) -> frozenset[str]:
            raise ConnectionError

    verifier = Verifier(Broken().load, IssuerKeys(fetch_keys))
    attempts = [verifier.verify(issuer.jwt()) for _ in range(3)]
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {ConnectionError}

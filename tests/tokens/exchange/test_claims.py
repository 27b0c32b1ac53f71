from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokens.exchange.claims import (
    MAX_TEXT,
    InvalidClaimsError,
    check_claims,
    claim_lines,
    fulfils,
    parse_claims,
)

TEXTS = st.text(st.characters(codec="ascii", exclude_characters="=", categories=["L", "N", "P"]), min_size=1)


def test_claims_are_read_from_lines_and_written_as_such() -> None:
    lines = ["repository=acme/web", " ref = refs/heads/main ", "", "ref=refs/tags/v*"]
    wanted = parse_claims(lines)
    assert wanted == {"repository": ["acme/web"], "ref": ["refs/heads/main", "refs/tags/v*"]}
    assert parse_claims(claim_lines(wanted)) == wanted


def test_only_the_first_equals_sign_parts_a_name_from_its_glob() -> None:
    assert parse_claims(["https://example.com/role=a=b"]) == {"https://example.com/role": ["a=b"]}


@pytest.mark.parametrize("line", ["repository", "repository=", "=acme/web", "  =  "])
def test_a_line_that_is_no_claim_is_refused(line: str) -> None:
    with pytest.raises(InvalidClaimsError, match="is not a claim"):
        parse_claims(["sub=a", line])


@pytest.mark.parametrize(
    "wanted", [{}, {"sub": ["*"]}, {"sub": ["acme", "*"]}, {"sub": ["?*"], "ref": ["**"]}]
)
def test_claims_that_anybody_fulfils_are_refused(wanted: Any) -> None:
    with pytest.raises(InvalidClaimsError, match="anybody"):
        check_claims(wanted)


@pytest.mark.parametrize(
    "wanted",
    [
        None,
        [],
        "sub",
        {"sub": "acme"},
        {"sub": []},
        {"sub": [1]},
        {"": ["acme"]},
        {"sub": [""]},
        {"sub": ["a\nb"]},
        {"sub": ["a" * (MAX_TEXT + 1)]},
        {str(number): ["a"] for number in range(21)},
    ],
)
def test_what_makes_no_claims_is_refused(wanted: Any) -> None:
    with pytest.raises(InvalidClaimsError):
        check_claims(wanted)


@pytest.mark.parametrize(
    ("glob", "value", "fits"),
    [
        ("acme/web", "acme/web", True),
        ("acme/web", "acme/web2", False),
        ("acme/web", "xacme/web", False),
        ("acme/web", "ACME/web", False),
        ("acme/*", "acme/web/deep:er", True),
        ("acme/*", "acme-evil/web", False),
        ("acme/*", "acme/a\nb", True),
        ("v?", "v1", True),
        ("v?", "v12", False),
        ("a[bc]", "ab", False),
        ("a[bc]", "a[bc]", True),
        ("a.c", "abc", False),
        ("true", True, True),
        ("true", False, False),
        ("1", True, False),
        ("42", 42, True),
        ("ops", ["dev", "ops"], True),
        ("ops", ["dev"], False),
        ("*", None, False),
        ("*", {"a": "b"}, False),
        ("*", 1.5, False),
        ("*", "", True),
        ("*", [], False),
    ],
)
def test_a_claim_fits_its_glob_as_a_whole(glob: str, value: object, fits: bool) -> None:
    assert fulfils({"claim": value}, {"claim": [glob]}) is fits


def test_all_claims_must_be_fulfilled_each_by_one_of_its_globs() -> None:
    wanted = {"repository": ["acme/web", "acme/api"], "ref": ["refs/heads/main"]}
    assert fulfils({"repository": "acme/api", "ref": "refs/heads/main"}, wanted)
    assert not fulfils({"repository": "acme/api", "ref": "refs/heads/x"}, wanted)
    assert not fulfils({"repository": "acme/api"}, wanted)


@given(st.dictionaries(TEXTS, st.lists(TEXTS, min_size=1, max_size=3), min_size=1, max_size=3))
def test_what_is_written_is_read_as_it_was(wanted: dict[str, list[str]]) -> None:
    try:
        check_claims(wanted)
    except InvalidClaimsError:
        return
    assert parse_claims(claim_lines(wanted)) == wanted


def test_a_glob_takes_no_long_time_whatever_is_claimed() -> None:
    assert not fulfils({"sub": "a" * 10_000}, {"sub": ["*a" * 100 + "b"]})

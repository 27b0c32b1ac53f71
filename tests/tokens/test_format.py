import base64
import re
import zlib
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tokens.format import (
    MalformedTokenError,
    digest,
    generate,
    is_of_original,
    is_well_formed,
    may_be_known,
    normalise,
    obfuscate,
    parse,
)

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
YEAR_10000 = 253_402_300_800_000
"""Milliseconds; an id can hold later ones, a datetime cannot."""


def base62(number: int, length: int) -> str:
    return "".join(BASE62[number // 62**place % 62] for place in reversed(range(length)))


def token_of(number: int, secret: int = 0) -> str:
    """The token that the specification gives to this id, whatever its number."""
    body = f"sk-wt-{base62(number, 22)}{base62(secret, 27)}"
    return body + base62(zlib.crc32(body.encode()), 6)


_, PLAIN = generate()


def test_token_is_61_characters_that_a_secret_scanner_can_find() -> None:
    _, plain = generate()
    assert len(plain) == 61
    assert re.fullmatch(r"sk-wt-[0-9A-Za-z]{55}", plain)


def test_token_carries_its_id_and_the_time_of_its_issue() -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    token_id, plain = generate()
    parsed = parse(plain)
    assert parsed.id == token_id
    assert token_id.version == 7
    assert before <= parsed.created_at <= datetime.now(UTC)


def test_no_two_tokens_share_an_id_or_a_secret() -> None:
    tokens = [generate() for _ in range(1000)]
    assert len({token_id for token_id, _ in tokens}) == 1000
    assert len({plain[28:55] for _, plain in tokens}) == 1000


def test_new_secret_for_an_id_keeps_that_and_nothing_else() -> None:
    token_id, first = generate()
    same_id, second = generate(token_id)
    assert same_id == parse(second).id == token_id
    assert first[:28] == second[:28]
    assert first[28:55] != second[28:55]


def test_tokens_sort_by_the_time_of_their_issue() -> None:
    plains = [generate()[1] for _ in range(100)]
    assert plains == sorted(plains)


@given(st.integers(0, YEAR_10000 * 2**80 - 1), st.integers(0, 2**160 - 1))
@example(0, 0)
@example(YEAR_10000 * 2**80 - 1, 2**160 - 1)
def test_any_token_of_the_specified_form_is_read(number: int, secret: int) -> None:
    parsed = parse(token_of(number, secret))
    assert parsed.id == UUID(int=number)
    assert abs(parsed.created_at.timestamp() * 1000 - (number >> 80)) < 1


@given(st.integers(2**128, 62**22 - 1))
@example(2**128)
def test_id_of_more_than_128_bits_is_refused(number: int) -> None:
    with pytest.raises(MalformedTokenError):
        parse(token_of(number))


@pytest.mark.parametrize("milliseconds", [YEAR_10000, 2**48 - 1])
def test_id_of_a_year_that_no_datetime_holds_is_refused(milliseconds: int) -> None:
    with pytest.raises(MalformedTokenError):
        parse(token_of(milliseconds << 80))


@given(st.integers(0, 60), st.characters() | st.sampled_from(BASE62))
def test_one_changed_character_is_refused(place: int, character: str) -> None:
    changed = PLAIN[:place] + character + PLAIN[place + 1 :]
    if changed == PLAIN:
        return
    assert not is_well_formed(changed)
    with pytest.raises(MalformedTokenError):
        parse(changed)


@given(st.integers(6, 59))
def test_two_neighbours_changing_places_are_refused(place: int) -> None:
    changed = PLAIN[:place] + PLAIN[place + 1] + PLAIN[place] + PLAIN[place + 2 :]
    assert is_well_formed(changed) == (changed == PLAIN)


@pytest.mark.parametrize("text", [PLAIN[:-1], PLAIN + "0", PLAIN + "\n", PLAIN.upper(), PLAIN[6:], ""])
def test_token_that_is_not_whole_is_refused(text: str) -> None:
    with pytest.raises(MalformedTokenError):
        parse(text)


@given(st.text() | st.from_regex(r"sk-wt-[0-9A-Za-z]{55}", fullmatch=True))
def test_any_other_text_is_malformed_and_not_repeated_in_the_error(text: str) -> None:
    with pytest.raises(MalformedTokenError) as caught:
        parse(text)
    assert str(caught.value) == "This is not an access token."
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "pasted",
    [
        "{}",
        "  {}\n",
        '"{}"',
        "'{}'",
        ' "{}" ',
        '" {} "',
        "Bearer {}",
        "bearer  {}",
        '"Bearer {}"',
        "\tBEARER {}\r\n",
        pytest.param(
            'Bearer "{}"',
        ),
    ],
)
def test_what_a_person_pasted_becomes_the_token(pasted: str) -> None:
    assert normalise(pasted.format(PLAIN)) == PLAIN


def test_obfuscated_token_shows_its_prefix_and_last_four_characters_only() -> None:
    assert obfuscate(PLAIN) == f"sk-wt-…{PLAIN[-4:]}"


@given(st.text() | st.from_regex(r"sk-wt-[0-9A-Za-z]{55}", fullmatch=True))
@example("sk-proj-somebody-pasted-the-wrong-key")
@example(PLAIN[:-1])
def test_nothing_is_shown_of_a_text_that_is_no_token(text: str) -> None:
    assert obfuscate(text) == "…"


def test_digest_is_sha256_in_hexadecimal() -> None:
    assert digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@given(st.text())
def test_any_text_has_a_digest_that_fits_its_column(text: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", digest(text))


@given(st.uuids(version=4), st.integers(0, 2**60 - 1), st.sampled_from(["sk-", "tkn_"]))
def test_tokens_of_the_original_are_known_by_their_form(any_id: UUID, milliseconds: int, prefix: str) -> None:
    uuid7 = UUID(int=(milliseconds % 2**48) << 80 | any_id.int & ((1 << 80) - 1) & ~(0xF << 76) | 7 << 76)
    plain = prefix + base64.urlsafe_b64encode(uuid7.bytes).decode().rstrip("=")
    assert uuid7.version == 7
    assert is_of_original(plain)
    assert may_be_known(plain)
    assert not is_well_formed(plain)
    other = prefix + base64.urlsafe_b64encode(any_id.bytes).decode().rstrip("=")
    assert not may_be_known(other)


@pytest.mark.parametrize("text", ["sk-", "sk-proj-0123456789abcdefghij", f"{PLAIN}0", "sk-" + "a" * 48])
def test_keys_of_upstream_are_not_worth_a_query(text: str) -> None:
    assert not may_be_known(text)

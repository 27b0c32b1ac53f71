"""What a page can ask for."""

from uuid import UUID

import msgspec
import pytest

from tests.usage.live.rows import row
from usage.live.names import Names
from usage.live.wish import Filter, Wish, read_wish

PROJECT = UUID("019a0000-0000-7000-8000-00000000000a")
TOKEN = UUID("019a0000-0000-7000-8000-00000000000b")
NAMES = Names("Alpha", "nightly job", "sk-wt-…wXyZ")
ROW = row(
    project_id=PROJECT,
    token_id=TOKEN,
    model="gpt-4o-mini",
    status=429,
    outcome="refused",
    path="/v1/chat/completions",
)


@pytest.mark.parametrize(
    ("wanted", "others"),
    [
        ({"project": "ALPH"}, {"project": "beta"}),
        ({"project": str(PROJECT)}, {"project": str(TOKEN)}),
        ({"token": "night"}, {"token": "daily"}),
        ({"token": "wXyZ"}, {"token": "abcd"}),
        ({"token": str(TOKEN)}, {"token": str(PROJECT)}),
        ({"model": "4O"}, {"model": "o3"}),
        ({"path": "/chat/"}, {"path": "/responses"}),
        ({"status": "4"}, {"status": "5"}),
        ({"status": "429"}, {"status": "42x"}),
        ({"outcome": "refused"}, {"outcome": "refuse"}),
        ({}, {"project": "alpha", "status": "2"}),
    ],
)
def test_a_filter_lets_through_what_it_names(wanted: dict[str, str], others: dict[str, str]) -> None:
    assert Filter(**wanted).fits(ROW, NAMES)
    assert not Filter(**others).fits(ROW, NAMES)


def test_a_request_that_was_sent_nothing_has_no_status() -> None:
    assert not Filter(status="4").fits(row(status=None), NAMES)
    assert Filter().fits(row(status=None), NAMES)


def test_a_wish_is_read_with_what_it_leaves_out() -> None:
    assert read_wish(b'{"filter":{"model":"o3"},"is_paused":true}') == Wish(
        Filter(model="o3"), is_paused=True
    )


@pytest.mark.parametrize("text", ["", "[]", '{"is_paused":1}', '{"filter":{"model":"%s"}}' % ("a" * 201)])
def test_nonsense_is_no_wish(text: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        read_wish(text)

"""What is added to answers for pages of browsers, and taken away."""

from projects.rules import parse_rules
from projects.ruleset import make_ready
from proxy.cors import Allowance, allowance
from proxy.types import Headers

UPSTREAMS: Headers = [
    (b"x-request-id", b"1"),
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-credentials", b"true"),
    (b"x-twice", b"1"),
    (b"x-twice", b"2"),
    (b"vary", b"accept-encoding"),
]
KEPT: Headers = [
    (b"x-request-id", b"1"),
    (b"x-twice", b"1"),
    (b"x-twice", b"2"),
    (b"vary", b"accept-encoding"),
]


def test_a_page_is_told_of_its_own_origin_only() -> None:
    assert Allowance(b"https://a.example")(UPSTREAMS) == [
        *KEPT,
        (b"access-control-allow-origin", b"https://a.example"),
        (b"access-control-expose-headers", b"x-request-id, x-twice, vary"),
        (b"vary", b"origin"),
    ]
    assert Allowance(None)(UPSTREAMS) == [*KEPT, (b"vary", b"origin")]


def test_without_rules_for_origins_answers_stay_as_they_are() -> None:
    assert allowance(None, [(b"origin", b"https://a.example")]) is None
    assert allowance(make_ready(parse_rules({"models": []})), [(b"origin", b"https://a.example")]) is None

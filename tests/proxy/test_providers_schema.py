"""Everything that may be wrong in PROVIDERS_FILE is told, with its line."""

import pytest

from proxy.located_yaml import InvalidYAMLError, LocatedYAML
from proxy.providers_schema import Schema

HEAD = "providers: {one: {}}\nfamilies:\n  all:\n"
VALID = HEAD + "    - {path: /models, methods: [GET]}\n"
TAIL = "families: {all: [{path: /models, methods: [GET]}]}\n"


def problems(text: str) -> list[tuple[int, str]]:
    try:
        found = Schema(LocatedYAML.parse(text.encode())).problems
    except InvalidYAMLError as invalid:
        found = invalid.problems
    return [(problem.line, problem.message) for problem in found]


def endpoint(text: str) -> str:
    return f"{VALID}    - {{{text}}}\n"


def provider(text: str) -> str:
    return f"providers:\n  one:\n    {text}\n{TAIL}"


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        ("", 1, "Expected `object`, got `null`"),
        ("providers: {}\nfamilies: {a: []}\n", 1, "providers: Expected `object` of length >= 1"),
        ("providers: {one: {}}\nfamilies: {}\n", 2, "families: Expected `object` of length >= 1"),
        ("providers: {one: {}}\n", 1, "missing required field `families`"),
        (VALID + "surprise: 1\n", 5, "surprise: there is no such setting"),
        ("providers:\n", 1, "providers: Expected `object`, got `null`"),
        ("providers: [\n", 2, "is not YAML: while parsing a flow node: expected the node content"),
        ("providers: !!python/object/apply:os.system [ls]\n", 1, "is not YAML: could not determine"),
        ("a: 1\n---\nb: 1\n", 2, "is not YAML: expected a single document"),
        ("a: 1\nb: 2\n\na: 3\n", 4, "the key `a` stands here again, after line 1"),
        (VALID + "  all: []\n", 5, "the key `all` stands here again, after line 3"),
        ("a: 2026-99-99\n", 1, "is not YAML: a value makes no sense: month must be in 1..12"),
        ("a: !!bool x\n", 1, "is not YAML: a value makes no sense"),
        ("[" * 5000, 1, "is not YAML: nested too deeply"),
        ("a: &a [*a]\n", 1, "a: there is no such setting"),
        ("? [a]\n: 1\n", 1, "is not YAML: while constructing a mapping: found unhashable key"),
        (endpoint("path: /x, methods: [GET], x: 1"), 5, "families.all[1].x: there is no such setting"),
        (endpoint("path: /x, methods: [GET], family: x"), 5, "family: there is no such setting"),
        (endpoint("path: /x, methods: [FETCH]"), 5, "families.all[1].methods[0]: Invalid enum value 'FETCH'"),
        (
            endpoint("path: /x, methods: []"),
            5,
            "families.all[1].methods: /x has no methods, and no WebSocket",
        ),
        (endpoint("path: /x"), 5, "families.all[1].methods: /x has no methods, and no WebSocket"),
        (endpoint("path: /x, methods: [POST]"), 5, "must say what its usage is"),
        (endpoint("path: /x, methods: [GET], usage: some"), 5, "usage: Invalid enum value 'some'"),
        (endpoint("path: x, methods: [GET]"), 5, "families.all[1].path: 'x' is no path"),
        (endpoint("path: /x.*, methods: [GET]"), 5, "is no path"),
        (endpoint("path: /x/, methods: [GET]"), 5, "is no path"),
        (endpoint("path: /x/../y, methods: [GET]"), 5, "is no path"),
        (endpoint("path: '/{a*}/x', methods: [GET]"), 5, "is no path"),
        (endpoint("path: '/x{a}', methods: [GET]"), 5, "is no path"),
        (endpoint(f"path: /{'x' * 100}, methods: [GET]"), 5, "a path has at most 100 characters"),
        (endpoint("path: /x, methods: [GET], max_request_bytes: 0"), 5, "max_request_bytes: Expected `int`"),
        (endpoint("path: /x, methods: [GET], max_request_bytes: 1.5"), 5, "max_request_bytes: Expected `int"),
        (endpoint("path: /x, methods: [GET], read_timeout_seconds: .inf"), 5, "Expected `float` <= 86400.0"),
        (endpoint("path: /x, methods: [GET], read_timeout_seconds: .nan"), 5, "Expected `float` > 0.0"),
        (endpoint("path: /models, methods: [DELETE]"), 5, "/models is listed twice, first in line 4"),
        (VALID + "  more: 1\n", 5, "families.more: a family is a list of endpoints"),
        (VALID + "  More: []\n", 5, "families.More: 'More' is no name"),
        (
            VALID + "  more:\n    - {path: /models, methods: [GET]}\n",
            6,
            "/models is listed twice, first in line",
        ),
        (f"providers:\n  One: {{}}\n{TAIL}", 2, "providers.One: 'One' is no name"),
        (f"providers:\n  1: {{}}\n{TAIL}", 2, "1 is no name"),
        (f"providers:\n  one:\n{TAIL}", 2, "providers.one: Expected `object`, got `null`"),
        (provider("colour: red"), 3, "providers.one.colour: there is no such setting"),
        (provider("base_url: nowhere"), 3, "providers.one.base_url: Enter a valid URL."),
        (provider("base_url: 'http://a.test/v1?key=1'"), 3, "base_url: A base URL has no user name"),
        (provider("families: [all, none]"), 3, "providers.one.families[1]: there is no family none"),
        (provider("families: [all, all]"), 3, "the family all is named twice"),
        (provider("families: []"), 3, "a provider without families serves nothing"),
        (provider("key: {scheme: Bearer}"), 3, "providers.one.key: Object missing required field `header`"),
        (provider("key: {header: 'a b'}"), 3, "providers.one.key.header: 'a b' is no name of a header"),
        (provider("key: {header: Host}"), 3, "the proxy itself writes the header host"),
        (provider("key: {header: x-key, scheme: 'a b'}"), 3, "a scheme is one word"),
        (provider("headers: {drop: [Connection]}"), 3, "headers.drop[0]: the proxy itself writes the header"),
        (provider("headers: {drop: ['']}"), 3, "'' is no name of a header"),
        (provider("headers: {drop: [authorization]}"), 3, "the header authorization is for a key"),
        (provider("headers: {set: {Cookie: a}}"), 3, "the header cookie is for a key"),
        (provider("headers: {set: {1: a}}"), 3, "1 is no name of a header"),
        (provider("headers: {drop: [x-a], set: {X-A: b}}"), 3, "the header x-a is named twice"),
        (provider("headers: {set: {x-a: 1}}"), 3, "headers.set.x-a: a header's value is text (in quotes)"),
        (provider('headers: {set: {x-a: "a\\r\\nx-b: c"}}'), 3, "a header's value is text"),
        (provider("headers: {set: {x-a: ''}}"), 3, "a header's value is text"),
        (provider("headers: {set: {x-a: é}}"), 3, "a header's value is text"),
        (
            provider("key: {header: x-key}\n    headers: {set: {x-key: a}}"),
            4,
            "the header x-key is for a key",
        ),
    ],
)
def test_what_is_doubtful_is_told_with_its_line(text: str, line: int, complaint: str) -> None:
    found = problems(text)
    assert [at for at, message in found if complaint in message] == [line], found


def test_no_message_repeats_what_could_be_a_secret() -> None:
    text = provider("headers: {set: {authorization: Bearer sk-secret, x-a: 'sk-secrét'}}").replace(
        "  one:", "  one:\n    base_url: 'http://user:sk-secret@a.test/v1'"
    )
    assert len(problems(text)) == 3
    assert "secr" not in str(problems(text))


def test_all_problems_are_told_at_once_and_in_their_order() -> None:
    text = (
        "providers:\n"
        "  one: {families: [chat, nope], key: {header: host}}\n"
        "  two:\n"
        "    colour: red\n"
        "families:\n"
        "  chat:\n"
        "    - {path: /chat, methods: [POST]}\n"
        "    - path: /chat\n"
        "      methods: [FETCH]\n"
        "    - {path: /chat, methods: [GET]}\n"
    )
    assert [line for line, _ in problems(text)] == [2, 2, 4, 7, 9, 10]


def test_the_line_is_found_where_yaml_merges_and_repeats() -> None:
    text = (
        "providers: {one: {}}\n"
        "families:\n"
        "  a:\n"
        "    - &first {path: /a, methods: [GET]}\n"
        "    - <<: *first\n"
        "      path: /b/\n"
        "    - {<<: *first, path: /c}\n"
    )
    assert [line for line, _ in problems(text)] == [6]


def test_two_providers_may_have_paths_of_their_own() -> None:
    text = (
        "providers: {one: {families: [a]}, two: {families: [b]}}\n"
        "families:\n"
        "  a: [{path: /x, methods: [GET]}]\n"
        "  b: [{path: /x, methods: [GET]}]\n"
    )
    assert problems(text) == []


def test_a_file_that_is_not_text_is_told_with_its_line() -> None:
    for content, message in ((b"a: 1\nb: \xff\n", "is not UTF-8"), (b"a: 1\nb: \x07\n", "is not allowed")):
        with pytest.raises(InvalidYAMLError) as invalid:
            LocatedYAML.parse(content)
        (problem,) = invalid.value.problems
        assert (problem.line, message in problem.message) == (2, True)

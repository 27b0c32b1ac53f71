"""What a body says is read with certainty, or not at all."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projects.ruleset import Names, name_tree
from proxy.document import NO_DOCUMENT, read_document, read_json, values_at
from proxy.errors import BadRequest
from proxy.types import Headers
from tests.depths import TOO_DEEP

NAMES: Names = name_tree(["model", "max_tokens", "tools[].type", "reasoning.effort"])
JSON: Headers = [(b"content-type", b"application/json")]


@pytest.mark.parametrize(
    ("body", "values"),
    [
        (b'{"model":"gpt-4o","x":{"model":1}}', {"model": "gpt-4o"}),
        (b' {\n "model" : "gpt-4o" , "x" : [ 1 , 2 ] }\r\n', {"model": "gpt-4o"}),
        (b'{"mod\\u0065l":"gpt-4o"}', {"model": "gpt-4o"}),
        (b"{}", {}),
        (b" { } ", {}),
        (b'{"":1,"model":"a"}', {"model": "a"}),
        (b'{"max_tokens":2e3}', {"max_tokens": 2000.0}),
        ('{"model":"é","\u00fc":"\u20ac"}'.encode(), {"model": "é"}),
        (b'{"tools":[{"type":"a","x":1},{"y":2},5]}', {"tools": [{"type": "a"}, {}, 5]}),
        (b'{"reasoning":{"effort":null,"x":{"effort":1}}}', {"reasoning": {"effort": None}}),
        (b'{"reasoning":"high","model":{"a":1}}', {"reasoning": "high", "model": {}}),
    ],
)
def test_what_is_certain_is_read(body: bytes, values: dict[str, Any]) -> None:
    assert read_document(JSON, body, NAMES).values == values


BAD = [
    b"nonsense",
    b"[]",
    b'"model"',
    b'{"model":"a"',
    b'{"model":"a"}{"model":"b"}',
    b'{"model":"a",}',
    b"{'model':'a'}",
    b'{"model":"a"/**/}',
    b'{"model":NaN}',
    b'{"x":NaN,"model":"a"}',
    b'{"model":"a","max_tokens":1e400}',
    b'{"model":"a","model":"b"}',
    b'{"model":"a","model":"a"}',
    b'{"model":"a", "model": "a"}',
    b'{ "model":"a" , "x":1, "mod\\u0065l":"b" }',
    b'{"model":"a","x":1,"x":1}',
    b'{"model":"a","x":12,"x":1}',
    b'{"model":"a","Model":"b"}',
    b'{"MODEL":"b"}',
    '{"max_to\u212aens":5}'.encode(),  # the Kelvin sign, a k to readers that know no case
    b'{"model\\u0000":"b"}',
    b'{"tools":[{"type":"function","type":"web_search"}]}',
    b'{"reasoning":{"effort":"low","effort":"high"}}',
    b'{"reasoning":{"Effort":"high"}}',
    b'\xef\xbb\xbf{"model":"a"}',
    '{"model":"a"}'.encode("utf-16"),
    '{"model":"a"}'.encode("utf-16-le"),
    '{"model":"a"}'.encode("utf-32"),
    b'{"model":"a\xff"}',
    b'{"x":"\xc0","model":"a"}',
    b'{"model":"a","tools":' + b"[" * 20 + b"]" * 20 + b"}",
    b'{"x":' + b"[" * TOO_DEEP + b"]" * TOO_DEEP + b',"model":"a"}',
    b'{"x":' + b'{"y":' * 100_000,
]


@pytest.mark.parametrize("body", BAD)
def test_what_another_reader_may_read_otherwise_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest) as refused:
        read_document(JSON, body, NAMES)
    assert refused.value.param


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"n":1,"n":2}', "n"),
        (b'{"reasoning":{"effort":1,"effort":2}}', "reasoning.effort"),
        (b"[]", "model"),
    ],
)
def test_a_refusal_names_what_is_doubtful(body: bytes, param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_document(JSON, body, NAMES)
    assert refused.value.param == param


@pytest.mark.parametrize(
    "headers",
    [
        [(b"content-type", b"application/json; charset=utf-16")],
        [(b"content-type", b'application/json;CHARSET="UTF-7"')],
        [(b"content-type", b"application/json; charset=utf-8; charset=utf-7")],
        [(b"content-type", b"application/x-www-form-urlencoded")],
        [(b"content-type", b"multipart/mixed; boundary=x")],
        [(b"content-type", b"multipart/form-data; boundary=x")],
        [*JSON, (b"content-type", b"multipart/form-data; boundary=x")],
        [*JSON, (b"content-encoding", b"gzip")],
        [*JSON, (b"content-encoding", b"identity"), (b"content-encoding", b"br")],
    ],
)
def test_headers_that_say_something_else_of_the_body_are_refused(headers: Headers) -> None:
    with pytest.raises(BadRequest):
        read_document(headers, b'{"model":"a"}', NAMES)


@pytest.mark.parametrize(
    "media",
    [
        b"application/json; charset=UTF-8",
        b"application/json; charset=iso-8859-1",
        b"text/plain",
        b"application/vnd.x+json",
        b"",
    ],
)
def test_json_is_seen_whatever_its_media_type(media: bytes) -> None:
    headers = [(b"content-type", media), (b"content-encoding", b"identity")]
    assert read_document(headers, b'{"model":"a"}', NAMES).values == {"model": "a"}
    assert read_document([], b"", NAMES) is NO_DOCUMENT


def test_a_charset_that_the_body_needs_is_refused() -> None:
    with pytest.raises(BadRequest):
        read_document(
            [(b"content-type", b"application/json; charset=iso-8859-1")], '{"model":"é"}'.encode(), NAMES
        )


def test_lists_are_looked_into_at_every_step() -> None:
    values = {"tools": [{"type": "a"}, [{"type": ["b", None]}], 5], "n": None, "o": {"type": "c"}}
    assert values_at(values, ("tools", "type")) == ["a", "b"]
    assert values_at(values, ("n",)) == values_at(values, ("x", "y")) == values_at(values, ("n", "x")) == []
    assert values_at(values, ("o",)) == [{"type": "c"}]


members = st.lists(
    st.tuples(
        st.sampled_from(["model", "n", "x", 'a"b', "é", "reasoning", "tools", ""]),
        st.recursive(
            st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
            lambda inner: (
                st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
            ),
            max_leaves=4,
        ),
    ),
    max_size=5,
)
blanks = st.sampled_from(["", " ", "\n\t ", "\r\n"])


@given(members, blanks, blanks, st.booleans())
def test_an_object_is_read_if_it_has_each_member_once(
    pairs: list[tuple[str, Any]], before: str, after: str, is_ascii: bool
) -> None:
    text = ",".join(
        f"{before}{json.dumps(name, ensure_ascii=is_ascii)}{after}:{before}"
        f"{json.dumps(value, ensure_ascii=is_ascii)}{after}"
        for name, value in pairs
    )
    body = f"{after}{{{text}}}{before}".encode()
    if len(dict(pairs)) == len(pairs):
        assert read_json(body, {"model": {}, "n": None}).keys() == dict(pairs).keys() & {"model"}
    else:
        with pytest.raises(BadRequest):
            read_json(body, {"model": {}, "n": None})


def test_no_depth_breaks_the_reader() -> None:
    for depth in range(900, 1000):  # about what a decoder can, less what its callers have used of it
        try:
            read_json(b'{"tools":' + b"[" * depth + b"]" * depth + b"}", NAMES)
        except BadRequest:
            continue


@given(st.binary(max_size=40) | st.text('{}[]":,model \\u0065\n', max_size=30).map(str.encode))
def test_no_body_fails_otherwise(body: bytes) -> None:
    """And what is read is what Python's reader reads."""
    try:
        values = read_document(JSON, body, {"model": {}}).values
    except BadRequest:
        return
    assert not body or values.get("model") in (json.loads(body).get("model"), {}) or values["model"]

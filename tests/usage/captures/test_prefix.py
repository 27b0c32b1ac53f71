"""JSON that was cut anywhere."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage.captures.prefix import CUT, close, read_document

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\ue000"), max_size=12)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def is_beginning(part: Any, whole: Any) -> bool:
    """Whether all that is in `part` is in `whole`, at its place."""
    if isinstance(part, str) and part.endswith(CUT):
        return isinstance(whole, str) and whole.startswith(part.removesuffix(CUT))
    if isinstance(part, list):
        return isinstance(whole, list) and all(map(is_beginning, part, whole)) and len(part) <= len(whole)
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(is_beginning(part[name], whole[name]) for name in part)
    return bool(part == whole)


@given(
    st.lists(DOCUMENTS, max_size=3) | st.dictionaries(TEXTS, DOCUMENTS, max_size=3), st.booleans(), st.data()
)
def test_the_beginning_of_any_document_is_read_wherever_it_is_cut(
    document: Any, is_ascii: bool, data: st.DataObject
) -> None:
    text = json.dumps(document, ensure_ascii=is_ascii)
    part = text[: data.draw(st.integers(1, len(text)))]
    found = json.loads(close(part))
    assert type(found) is type(document)
    assert is_beginning(_without_half_surrogates(found), document)


def _without_half_surrogates(value: Any) -> Any:
    if isinstance(value, str) and value.removesuffix(CUT)[-1:] >= "\ud800" and value.endswith(CUT):
        text = value.removesuffix(CUT)
        return (text[:-1] if "\ud800" <= text[-1] <= "\udfff" else text) + CUT
    if isinstance(value, list):
        return list(map(_without_half_surrogates, value))
    if isinstance(value, dict):
        return {name: _without_half_surrogates(each) for name, each in value.items()}
    return value


@given(st.text(alphabet='{}[]:,"\\ ua1n\n', max_size=30))
def test_what_is_no_json_is_read_as_none_or_as_json_has_it(text: str) -> None:
    read_document(text, is_whole=True)
    read_document(text, is_whole=False)


@pytest.mark.parametrize("text", ["", "   ", "12", "tru", "hello", "<html>", "}", '{"a": 1}}', "[1] is one"])
def test_what_has_no_beginning_of_a_document_is_none(text: str) -> None:
    assert read_document(text, is_whole=False) is None


def test_what_is_half_there_goes_and_a_text_is_marked() -> None:
    cut = '{"a": [1, 23'
    assert json.loads(close(cut)) == {"a": [1]}
    assert json.loads(close('{"a": 1, "b')) == {"a": 1}
    assert json.loads(close('{"a": 1, "b":')) == {"a": 1}
    assert json.loads(close('{"a": "one two')) == {"a": f"one two{CUT}"}
    assert json.loads(close('{"a": "one\\\\')) == {"a": f"one\\{CUT}"}
    assert json.loads(close('{"a": "one\\')) == {"a": f"one{CUT}"}
    assert json.loads(close('{"a": "one\\u00')) == {"a": f"one{CUT}"}


def test_a_document_that_is_too_deep_is_none() -> None:
    assert read_document("[" * 100_000, is_whole=False) is None

"""What a document of rules may say, and what it comes to."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from projects.form_fields import RULES_HELP
from projects.rules import NO_RULES, InvalidRulesError, parse_rules, read_rules
from projects.ruleset import in_common, make_ready, name_tree, path_of

FULL: dict[str, Any] = {
    "endpoints": ["chat", "POST /responses", "GET /models/{id}"],
    "models": ["gpt-4o*", "o3"],
    "parameters": [
        {"name": "max_tokens", "maximum": 2000, "required": True, "endpoints": ["chat"]},
        {"name": "tools[].type", "allowed": ["function"], "shadow": True},
        {"name": "reasoning.effort", "forbidden_values": ["high", 1, 0.5, True]},
        {"name": "web_search_options", "forbidden": True},
    ],
    "origins": ["https://app.example.com", "http://localhost:5173", "https://[::1]:8443"],
    "networks": ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"],
    "max_body_bytes": 1000,
    "shadow": ["models", "max_body_bytes"],
}


def test_a_document_may_say_all_of_this() -> None:
    rules = parse_rules(FULL)
    assert rules.models == ("gpt-4o*", "o3")
    assert rules.parameters[0].maximum == 2000
    assert parse_rules({}) == NO_RULES


def test_the_documented_example_is_one() -> None:
    text = (Path(settings.BASE_DIR) / "docs/policy.md").read_text(encoding="utf-8")
    read_rules(text.split("```json")[1].split("```")[0])
    read_rules(RULES_HELP.removeprefix("JSON, such as ").split(". Empty")[0])


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ([], "Expected `object`, got `array`."),
        (None, "Expected `object`, got `null`."),
        ({"model": ["gpt-4o"]}, "Object contains unknown field `model`."),
        ({"models": "gpt-4o"}, "models: Expected `array | null`, got `str`."),
        ({"models": ["gpt 4"]}, "models[0]: This is not written as it must be."),
        ({"models": ["gpt-[45]"]}, "models[0]: This is not written as it must be."),
        ({"endpoints": ["/chat/completions"]}, "endpoints[0]: This is not written as it must be."),
        ({"endpoints": ["HEAD /models"]}, "endpoints[0]: This is not written as it must be."),
        ({"parameters": [{"maximum": 5}]}, "parameters[0]: Object missing required field `name`."),
        ({"parameters": [{"name": "n", "maximum": "5"}]}, "parameters[0].maximum: Expected `int | float"),
        ({"parameters": [{"name": "n", "maximum": True}]}, "parameters[0].maximum: Expected `int | float"),
        ({"parameters": [{"name": "a..b", "forbidden": True}]}, "parameters[0].name: This is not written"),
        ({"parameters": [{"name": "n"}]}, "parameters[0]: says nothing"),
        ({"parameters": [{"name": "n", "forbidden": True, "maximum": 1}]}, "parameters[0]: is forbidden"),
        ({"parameters": [{"name": "n", "max": 1}]}, "parameters[0]: Object contains unknown field `max`."),
        ({"origins": ["*"]}, "origins[0]: '*' is not an origin"),
        ({"origins": ["null"]}, "origins[0]: 'null' is not an origin"),
        ({"origins": ["https://app.example.com/"]}, "origins[0]:"),
        ({"origins": ["https://App.example.com"]}, "origins[0]:"),
        ({"origins": ["https://app.example.com:443"]}, "origins[0]:"),
        ({"origins": ["https://*.example.com"]}, "origins[0]:"),
        ({"networks": ["10.0.0.1/8"]}, "networks[0]: '10.0.0.1/8' is not a network"),
        ({"networks": ["everywhere"]}, "networks[0]: 'everywhere' is not a network"),
        ({"networks": ["::ffff:10.0.0.0/104"]}, "networks[0]: write the IPv4 network"),
        ({"max_body_bytes": 0}, "max_body_bytes: Expected `int` >= 1."),
        ({"shadow": ["models"]}, "shadow: there is no rule models"),
        ({"models": [], "shadow": ["model"]}, "shadow[0]: Invalid enum value 'model'."),
        ({"models": [f"{number}-{'x' * 100}" for number in range(700)]}, "The rules are larger than 64 KiB."),
        ({"models": {1, 2}}, "models"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(document: object, problem: str) -> None:
    with pytest.raises(InvalidRulesError) as refused:
        parse_rules(document)
    assert str(refused.value).startswith(problem)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "The rules are not JSON: Expecting property name"),
        ('{"models": [], "models": ["o3"]}', "models: it is there twice."),
        ("[" * 100_000, "The rules are not JSON"),
        (
            '{"parameters": [{"name": "n", "maximum": NaN}]}',
            "parameters[0]: has a maximum that is no number.",
        ),
    ],
)
def test_a_text_that_is_no_document_is_refused(text: str, problem: str) -> None:
    with pytest.raises(InvalidRulesError) as refused:
        read_rules(text)
    assert str(refused.value).startswith(problem)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*FULL, "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(json_values)
def test_no_document_fails_otherwise(document: object) -> None:
    with suppress(InvalidRulesError):
        make_ready(parse_rules(document))


def test_rules_of_both_owners_are_made_ready() -> None:
    assert make_ready(NO_RULES, NO_RULES) is None
    ruleset = make_ready(parse_rules(FULL), parse_rules({"models": ["o3"]}))
    assert ruleset is not None
    assert [(allowed.globs, allowed.is_shadow) for allowed in ruleset.models] == [
        (("gpt-4o*", "o3"), True),
        (("o3",), False),
    ]
    assert ruleset.names is not None
    assert ruleset.names["tools"] == {"type": {}, "model": {}, "svg": {"model": {}}}


def test_globs_know_case_and_the_whole_name() -> None:
    ruleset = make_ready(parse_rules({"models": ["gpt-4o*", "o?", "ft:gpt-*:acme:*", "gpt-4.1"]}))
    assert ruleset is not None
    (allowed,) = ruleset.models
    for model in ("gpt-4o", "gpt-4o-mini", "o3", "ft:gpt-4o:acme:x:1", "gpt-4.1"):
        assert allowed.allows(model)
    for model in ("", "GPT-4o", " gpt-4o", "o3\n", "o33", "gpt-4", "gpt-4x1", "gpt-4o" + "x" * 200):
        assert not allowed.allows(model)


def test_a_hostile_name_takes_no_time() -> None:
    ruleset = make_ready(parse_rules({"models": ["*a" * 90 + "b"]}))
    assert ruleset is not None
    assert not ruleset.models[0].allows("a" * 200)


@pytest.mark.parametrize(
    ("first", "second", "common"),
    [
        (("gpt-4o*",), ("gpt-4o-mini",), ["gpt-4o-mini"]),
        (("gpt-4o-mini",), ("gpt-*",), ["gpt-4o-mini"]),
        (("*",), ("o?", "x"), ["o?", "x"]),
        (("o?",), ("o*",), ["o?"]),
        (("gpt-4o*",), ("*-mini",), ["gpt-4o* & *-mini"]),
        (("gpt-4o",), ("o3",), []),
    ],
)
def test_what_two_lists_have_in_common_can_be_told(
    first: tuple[str, ...], second: tuple[str, ...], common: list[str]
) -> None:
    assert in_common(first, second) == common


def test_names_lead_through_objects_and_lists() -> None:
    assert path_of("tools[].type") == ("tools", "type")
    assert name_tree(["a", "a.b[]", "a.c", "a"]) == {"a": {"b": {}, "c": {}}}

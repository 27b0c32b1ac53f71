"""What rules refuse, what they let pass, and what they only note."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projects.rules import parse_rules
from projects.ruleset import REFUSE_ALL, Ruleset, make_ready
from proxy.document import Document, read_document
from proxy.endpoints import Endpoint
from proxy.errors import BadRequest, Forbidden, ProxyError, RequestTooLarge
from proxy.rules import (
    Look,
    allowed_models,
    allows_endpoint,
    body_bound,
    check_body,
    check_message,
    check_origin,
    check_request,
    look_into,
    note_length,
    read_message,
)

CHAT = Endpoint(path="/chat/completions", methods=("GET", "POST"), usage="openai", family="chat")
STORED = Endpoint(path="/chat/completions/{id}", methods=("GET", "POST"), usage="none", family="chat")
MODEL = Endpoint(path="/models/{id}", methods=("GET", "DELETE"), family="models")
SEARCH = Endpoint(
    path="/vector_stores/{id}/search", methods=("POST",), usage="unreported", model="none", family="vs"
)
FILES = Endpoint(path="/files", methods=("POST",), usage="none", takes_files=True, family="files")
BATCHES = Endpoint(path="/batches", methods=("GET", "POST"), usage="unreported", model="elsewhere")
EVALS = Endpoint(path="/evals", methods=("GET", "POST"), usage="none", model="elsewhere")
SPEECH = Endpoint(path="/audio/speech", methods=("POST",), usage="unreported", family="audio")
REALTIME = Endpoint(path="/realtime", methods=("GET",), family="realtime")


def rules(*documents: dict[str, Any]) -> Ruleset:
    ruleset = make_ready(*map(parse_rules, documents))
    assert ruleset is not None
    return ruleset


def parameter(**says: Any) -> Ruleset:
    return rules({"parameters": [says]})


def outcome(check: Callable[..., None], *arguments: Any, **named: Any) -> tuple[str, str | None] | list[str]:
    """The refusal's code and parameter, or what was noted."""
    noted: list[str] = []
    try:
        check(*arguments, **named, note=noted.append)
    except ProxyError as error:
        return error.code, error.param
    return noted


def body(ruleset: Ruleset, text: bytes, endpoint: Endpoint = CHAT, method: str = "POST") -> Any:
    document = read_document([(b"content-type", b"application/json")], text, ruleset.names or {})
    return outcome(check_body, ruleset, endpoint, method, document)


def request(
    ruleset: Ruleset,
    endpoint: Endpoint = CHAT,
    *,
    method: str = "POST",
    path: str = "/chat/completions",
    query: bytes = b"",
    length: int | None = 5,
) -> Any:
    return outcome(
        check_request, ruleset, endpoint, method=method, path=path, query=query, content_length=length
    )


MODELS = rules({"models": ["gpt-4o*"]}, {"models": ["*-mini"]})
NO_MODEL = ("model_not_allowed", "model")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'{"model":"gpt-4o-mini"}', []),
        (b'{"model":"gpt-4o"}', NO_MODEL),
        (b'{"model":"o3-mini"}', NO_MODEL),
        (b'{"model":"GPT-4o-mini"}', NO_MODEL),
        (b'{"model":""}', NO_MODEL),
        (b'{"model":null}', NO_MODEL),
        (b'{"model":[[],[null]]}', NO_MODEL),
        (b"{}", NO_MODEL),
        (b"", NO_MODEL),
        (b'{"model":5}', ("bad_request", "model")),
        (b'{"model":{"a":1}}', ("bad_request", "model")),
        (b'{"model":["gpt-4o-mini","o3"]}', NO_MODEL),
        (b'{"model":"gpt-4o-mini","models":["o3"]}', ("model_not_allowed", "models[]")),
        (b'{"model":"gpt-4o-mini","tools":[{"model":"o3"}]}', ("model_not_allowed", "tools[].model")),
        (
            b'{"model":"gpt-4o-mini","tools":[{"svg":{"model":"o3"}}]}',
            ("model_not_allowed", "tools[].svg.model"),
        ),
        (b'{"model":"gpt-4o-mini","svg":{"model":"o3"}}', ("model_not_allowed", "svg.model")),
        (b'{"model":"gpt-4o-mini","moderation":{"model":"o3"}}', ("model_not_allowed", "moderation.model")),
        (b'{"model":"gpt-4o-mini","moderation":"low"}', []),
        (b'{"model":"gpt-4o-mini","tools":[{"type":"function"}],"x":{"model":"o3"}}', []),
    ],
)
def test_both_lists_must_allow_every_model_that_a_body_names(text: bytes, expected: Any) -> None:
    assert body(MODELS, text) == expected


def test_where_there_is_no_model_none_must_be_named() -> None:
    assert body(MODELS, b"{}", SEARCH) == []
    assert body(MODELS, b"{}", STORED) == []
    assert body(MODELS, b'{"model":"o3"}', STORED) == NO_MODEL
    assert body(MODELS, b"{}", SPEECH) == NO_MODEL


@pytest.mark.parametrize("endpoint", [BATCHES, EVALS])
def test_where_a_model_stands_elsewhere_no_model_is_believed(endpoint: Endpoint) -> None:
    assert request(MODELS, endpoint) == NO_MODEL
    assert request(MODELS, endpoint, method="GET") == []
    assert request(rules({"max_body_bytes": 9}), endpoint) == []
    assert allows_endpoint(MODELS, endpoint, "GET")
    assert not allows_endpoint(MODELS, endpoint, "POST")
    shadow = rules({"models": ["*"], "shadow": ["models"]})
    assert request(shadow, endpoint) == ["model_not_allowed"]
    assert allows_endpoint(shadow, endpoint, "POST")
    assert look_into(shadow, endpoint, "POST", is_form=False) is Look.NO


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("/models/gpt-4o-mini", b"", []),
        ("/models/o3", b"", NO_MODEL),
        ("/models/gpt-4o%2Dmini", b"", []),
        ("/models/gpt-4o-mini", b"model=gpt-4o-mini&x=o3", []),
        ("/models/gpt-4o-mini", b"model=o3", NO_MODEL),
        ("/models/gpt-4o-mini", b"model=gpt-4o-mini&model=o3", NO_MODEL),
        ("/models/gpt-4o-mini", b"%6dodel=o3", NO_MODEL),
        ("/models/gpt-4o-mini", b"a=1;model=o3", NO_MODEL),
        ("/models/gpt-4o-mini", b"Model=o3", NO_MODEL),
        ("/models/gpt-4o-mini", b"model=", NO_MODEL),
    ],
)
def test_models_in_path_and_query_are_seen(path: str, query: bytes, expected: Any) -> None:
    assert request(MODELS, MODEL, method="GET", path=path, query=query) == expected


def test_a_variable_of_a_path_that_is_called_model_is_one() -> None:
    deployment = Endpoint(path="/deployments/{model}/chat", methods=("POST",), usage="openai", model="none")
    for model, expected in (("gpt-4o-mini", []), ("o3", NO_MODEL)):
        assert request(MODELS, deployment, path=f"/deployments/{model}/chat") == expected
    assert body(MODELS, b"{}", deployment) == []


def test_a_path_that_a_catch_all_matches_may_have_more_segments() -> None:
    everything = Endpoint(path="/{rest*}", methods=("GET",))
    assert request(MODELS, everything, method="GET", path="/a/b/c") == []


MAXIMUM = parameter(name="max_tokens", maximum=2000)
REFUSED = ("param_not_allowed", "max_tokens")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"2000", []),
        (b"2e3", []),
        (b"2000.0", []),
        (b"-1", []),
        (b"null", []),
        (b"2001", REFUSED),
        (b"2000.5", REFUSED),
        (b"1e30", REFUSED),
        (b"99999999999999999999999999", REFUSED),
        (b'"5"', REFUSED),
        (b"true", REFUSED),
        (b"[5]", []),
        (b"[5,2001]", REFUSED),
        (b"{}", REFUSED),
    ],
)
def test_a_maximum_bounds_numbers_and_refuses_what_is_none(value: bytes, expected: Any) -> None:
    assert body(MAXIMUM, b'{"max_tokens":%s}' % value) == expected


@pytest.mark.parametrize(
    ("rule", "text", "is_refused"),
    [
        ({"name": "n", "required": True}, b"{}", True),
        ({"name": "n", "required": True}, b'{"n":null}', True),
        ({"name": "n", "required": True}, b'{"n":1}', False),
        ({"name": "n", "forbidden": True}, b'{"n":1}', True),
        ({"name": "n", "forbidden": True}, b'{"n":null}', False),
        ({"name": "n", "forbidden": True}, b'{"n":{}}', True),
        ({"name": "tools[].type", "allowed": ["function"]}, b'{"tools":[{"type":"function"}]}', False),
        ({"name": "tools[].type", "allowed": ["function"]}, b'{"tools":[{"type":"x"}]}', True),
        ({"name": "tools[].type", "allowed": ["function"]}, b'{"tools":{"type":"x"}}', True),
        ({"name": "tools[].type", "allowed": ["function"]}, b'{"tools":[[{"type":"x"}]]}', True),
        ({"name": "tools[].type", "forbidden_values": ["x"]}, b'{"tools":[{"type":"a"},{"type":"x"}]}', True),
        ({"name": "tools[].type", "forbidden_values": ["x"]}, b'{"tools":[{"type":{"a":1}}]}', True),
        ({"name": "tools[].type", "forbidden_values": ["x"]}, b'{"tools":[{"type":"a"}],"type":"x"}', False),
        ({"name": "tool_choice.type", "forbidden_values": ["x"]}, b'{"tool_choice":"auto"}', False),
        ({"name": "reasoning.effort", "allowed": ["low"]}, b'{"reasoning":{"effort":"high"}}', True),
        ({"name": "reasoning.effort", "allowed": ["low"]}, b'{"reasoning":{}}', False),
        ({"name": "n", "allowed": [1]}, b'{"n":1.0}', False),
        ({"name": "n", "allowed": [1]}, b'{"n":true}', True),
        ({"name": "n", "allowed": [1]}, b'{"n":"1"}', True),
        ({"name": "stream", "forbidden_values": [True]}, b'{"stream":1}', False),
        ({"name": "stream", "forbidden_values": [True]}, b'{"stream":true}', True),
        ({"name": "tools", "forbidden": True}, b'{"tools":[]}', False),
    ],
)
def test_what_a_parameter_may_be(rule: dict[str, Any], text: bytes, is_refused: bool) -> None:
    assert body(parameter(**rule), text) == (("param_not_allowed", rule["name"]) if is_refused else [])


@pytest.mark.parametrize(
    ("rule", "text", "is_refused"),
    [
        ({"maximum": 2}, "2", False),
        ({"maximum": 2}, "3", True),
        ({"maximum": 2}, "two", True),
        ({"maximum": 2}, "nan", True),
        ({"maximum": 2}, "0x1", True),
        ({"allowed": ["a"]}, "a", False),
        ({"allowed": ["a"]}, "a ", True),
        ({"allowed": [2]}, "2.0", False),
        ({"forbidden_values": [2]}, " 2", True),
        ({"forbidden_values": [True]}, "On", True),
        ({"forbidden_values": [True]}, "off", False),
        ({"forbidden_values": ["word"]}, '["word"]', True),
        ({"forbidden_values": ["word"]}, "segment", False),
    ],
)
def test_the_texts_of_a_form_are_what_upstream_may_read_in_them(
    rule: dict[str, Any], text: str, is_refused: bool
) -> None:
    ruleset = parameter(name="n", **rule)
    checked = outcome(check_body, ruleset, CHAT, "POST", Document({"n": [text]}, is_form=True))
    assert checked == (("param_not_allowed", "n") if is_refused else [])


def test_a_parameter_rule_holds_where_it_says() -> None:
    required = parameter(name="max_tokens", required=True)
    assert body(required, b"{}") == REFUSED
    assert body(required, b"{}", STORED) == []
    narrowed = parameter(name="max_tokens", required=True, endpoints=["audio"])
    assert body(narrowed, b"{}") == []
    assert body(narrowed, b"{}", SPEECH) == REFUSED


def test_where_the_body_matters_it_is_looked_into() -> None:
    def look(ruleset: Ruleset, endpoint: Endpoint, method: str = "POST", *, is_form: bool = False) -> Look:
        return look_into(ruleset, endpoint, method, is_form=is_form)

    assert look(MODELS, CHAT) is look(MODELS, CHAT, is_form=True) is look(MAXIMUM, FILES) is Look.MUST
    assert look(MODELS, FILES, is_form=True) is look(MAXIMUM, FILES, is_form=True) is Look.NO
    assert look(MODELS, STORED, is_form=True) is look(MAXIMUM, STORED, is_form=True) is Look.MUST
    assert (
        look(parameter(name="purpose", forbidden=True, endpoints=["files"]), FILES, is_form=True) is Look.MUST
    )
    assert look(MODELS, CHAT, "GET") is look(rules({"max_body_bytes": 5}), CHAT) is Look.NO
    assert look(rules({"models": [], "shadow": ["models"]}), CHAT) is Look.SHADOW
    both = rules({"models": [], "shadow": ["models"], "parameters": [{"name": "n", "maximum": 1}]})
    assert look(both, CHAT) is Look.MUST


def test_endpoints_are_allowed_by_family_or_one_by_one() -> None:
    ruleset = rules({"endpoints": ["chat", "GET /models/{id}"]})
    refused = ("endpoint_not_allowed", None)
    assert request(ruleset) == request(ruleset, STORED) == []
    assert request(ruleset, MODEL, method="GET") == request(ruleset, MODEL, method="HEAD") == []
    assert request(ruleset, MODEL, method="DELETE") == request(ruleset, FILES) == refused
    narrowed = rules({"endpoints": ["chat"]}, {"endpoints": ["files", "POST /chat/completions"]})
    assert (request(narrowed), request(narrowed, STORED), request(narrowed, FILES)) == ([], refused, refused)
    assert allows_endpoint(narrowed, CHAT, "POST")
    assert not allows_endpoint(narrowed, CHAT, "GET")
    assert request(REFUSE_ALL) == refused


def test_the_smaller_body_bound_holds() -> None:
    ruleset = rules({"max_body_bytes": 10}, {"max_body_bytes": 5})
    assert request(ruleset, length=5) == request(ruleset, length=None) == []
    assert request(ruleset, length=6) == (RequestTooLarge.code, None)
    assert body_bound(ruleset) == 5


@pytest.mark.parametrize(
    ("origins", "is_refused"),
    [
        ([], False),
        ([b"https://a.example"], False),
        ([b"https://b.example"], True),
        ([b"https://a.example.evil"], True),
        ([b"null"], True),
        ([b""], True),
        ([b"https://a.example", b"https://a.example"], True),
    ],
)
def test_origins_are_compared_as_they_are(origins: list[bytes], is_refused: bool) -> None:
    ruleset = rules({"origins": ["https://a.example"]})
    headers = [(b"origin", origin) for origin in origins]
    assert outcome(check_origin, ruleset, headers) == (("origin_not_allowed", None) if is_refused else [])


def test_rules_in_shadow_mode_note_and_refuse_nothing() -> None:
    ruleset = rules(
        {
            "endpoints": [],
            "models": [],
            "max_body_bytes": 1,
            "shadow": ["endpoints", "models", "max_body_bytes"],
            "parameters": [{"name": "max_tokens", "maximum": 1, "shadow": True}],
        }
    )
    assert request(ruleset, query=b"model=x") == [
        "endpoint_not_allowed",
        "model_not_allowed",
        "request_too_large",
    ]
    assert body(ruleset, b'{"model":5,"max_tokens":2}') == ["bad_request", "param_not_allowed:max_tokens"]
    assert body(ruleset, b'{"model":"x","max_tokens":1}') == ["model_not_allowed"]
    assert body_bound(ruleset) is None
    assert outcome(note_length, ruleset, 2) == ["request_too_large"]
    assert allowed_models(ruleset) is None
    assert allows_endpoint(ruleset, CHAT, "POST")


names = st.sampled_from(["model", "n", "tools"])
scalars = st.sampled_from([None, True, 1, 2, 2.0, 3, "1", "a", "b", "gpt"])
bodies = st.dictionaries(
    names, scalars | st.lists(st.dictionaries(st.just("type"), scalars, max_size=1), max_size=2), max_size=3
)
parameter_rules = st.fixed_dictionaries(
    {"name": st.sampled_from(["model", "n", "tools[].type", "tools"])},
    optional={
        "maximum": st.sampled_from([1, 2]),
        "allowed": st.just([1, "a", True]),
        "forbidden_values": st.just([2, "b"]),
        "required": st.just(True),
    },
).filter(lambda rule: len(rule) > 1)
documents = st.fixed_dictionaries(
    {"parameters": st.lists(parameter_rules, max_size=2)},
    optional={"models": st.sampled_from([["gpt"], ["a", "b"], ["*"]])},
)


@given(documents, documents, bodies)
def test_a_tokens_rules_only_narrow_those_of_its_project(
    of_project: dict[str, Any], of_token: dict[str, Any], values: dict[str, Any]
) -> None:
    def passes(*documents: dict[str, Any]) -> bool:
        ruleset = make_ready(*map(parse_rules, documents))
        return ruleset is None or body(ruleset, json.dumps(values).encode()) == []

    assert passes(of_project, of_token) == (passes(of_project) and passes(of_token))


@given(documents, bodies)
def test_a_shadow_rule_notes_what_the_rule_would_refuse(
    document: dict[str, Any], values: dict[str, Any]
) -> None:
    shadowed: dict[str, Any] = {
        **document,
        "parameters": [{**rule, "shadow": True} for rule in document["parameters"]],
        "shadow": ["models"] if "models" in document else [],
    }
    ruleset, shadow = (make_ready(parse_rules(each)) for each in (document, shadowed))
    if ruleset is None or shadow is None:
        return
    text = json.dumps(values).encode()
    refused, noted = body(ruleset, text), body(shadow, text)
    assert isinstance(noted, list)
    assert bool(noted) == isinstance(refused, tuple)


def test_models_are_told() -> None:
    assert allowed_models(None) is None
    assert allowed_models(rules({"models": ["gpt-4o*"]})) == ["gpt-4o*"]
    assert allowed_models(rules({"models": ["gpt-4o*", "o3"]}, {"models": ["gpt-4o-mini"]})) == [
        "gpt-4o-mini"
    ]


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        (b'{"type":"session.update","session":{"model":"gpt-4o-mini"}}', None),
        (b'{"type":"input_audio_buffer.append","audio":"AAAA"}', None),
        (b'{"type":"session.update","session":{"model":"o3"}}', Forbidden),
        (b'{"type":"response.create","response":{"tools":[{"model":"o3"}]}}', Forbidden),
        (b'{"type":"response.create","model":"o3"}', Forbidden),
        (b'{"type":"response.create","model":"gpt-4o-mini","model":"o3"}', BadRequest),
        (b'{"type":"session.update","session":{"model":"gpt-4o-mini"},"session":{"model":"o3"}}', BadRequest),
        (b'{"type":"session.update","session":{"Model":"o3"}}', BadRequest),
        (b"[]", BadRequest),
    ],
)
def test_messages_on_a_websocket_are_judged(text: bytes, refused: type[ProxyError] | None) -> None:
    def judge() -> None:
        check_message(MODELS, REALTIME, read_message(MODELS, text), lambda code: None)

    if refused is None:
        judge()
    else:
        with pytest.raises(refused):
            judge()

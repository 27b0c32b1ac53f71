from pathlib import Path

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from proxy.endpoints import Endpoints
from proxy.providers import InvalidProvidersError, load_providers

HEAD = "providers: {one: {}}\nfamilies:\n  all:\n"
VALID = HEAD + "    - {path: /models, methods: [GET]}\n"


@pytest.fixture(scope="module")
def shipped() -> Endpoints:
    return load_providers(settings.PROVIDERS_FILE).default.endpoints


def write(folder: Path, text: str) -> Path:
    file = folder / "providers.yaml"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "Expected `object`"),
        ("providers: {}\nfamilies: {a: []}\n", "length >= 1"),
        ("providers: {one: {}}\nfamilies: {}\n", "length >= 1"),
        (VALID + "surprise: 1\n", "unknown field `surprise`"),
        ("providers: {one: {families: [b]}}\nfamilies: {a: []}\n", "family b, which does not exist"),
        (HEAD + "    - {path: /models, methods: [GET], x: 1}\n", "unknown field `x`"),
        (HEAD + "    - {path: /models, methods: [GET], family: x}\n", "unknown field `family`"),
        (HEAD + "    - {path: /models, methods: [FETCH]}\n", "Invalid enum value"),
        (HEAD + "    - {path: /models, methods: []}\n", "length >= 1"),
        (HEAD + "    - {path: models, methods: [GET]}\n", "matching regex"),
        (HEAD + "    - {path: /mo.*, methods: [GET]}\n", "matching regex"),
        (HEAD + "    - {path: /models}\n", "/models has no methods"),
        (HEAD + "    - {path: /models, websocket: true}\n", "must say what its usage is"),
        (HEAD + "    - {path: /models, methods: [POST]}\n", "must say what its usage is"),
        (HEAD + "    - {path: /models, methods: [GET], usage: some}\n", "Invalid enum value"),
        (VALID + "    - {path: /models, methods: [GET]}\n", "/models is listed twice"),
        ("providers: [\n", "is not YAML"),
        ("providers: !!python/object/apply:os.system [ls]\n", "is not YAML"),
    ],
)
def test_a_doubtful_file_is_refused_with_the_reason(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(InvalidProvidersError) as refused:
        load_providers(write(tmp_path, text))

    assert complaint in str(refused.value)


def test_two_templates_of_one_shape_are_refused(tmp_path: Path) -> None:
    text = (
        HEAD + '    - {path: "/files/{id}", methods: [GET]}\n'
        '    - {path: "/files/{file_id}", methods: [DELETE]}\n'
    )
    with pytest.raises(InvalidProvidersError, match="listed twice"):
        load_providers(write(tmp_path, text))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidProvidersError, match="No such file"):
        load_providers(tmp_path / "none.yaml")


def test_a_literal_path_wins_over_a_template(shipped: Endpoints) -> None:
    found = shipped.find("/responses/input_tokens")

    assert found is not None
    assert found.path == "/responses/input_tokens"


@pytest.mark.parametrize(
    "path",
    [
        "/models/gpt-4o",
        "/models/ft:gpt-4o:org::abc",
        "/models/a%20b",
        "/models/...",
        "/models/a..b",
        "/models/é%C3",
    ],
)
def test_an_id_may_be_any_segment_of_a_url(shipped: Endpoints, path: str) -> None:
    assert (shipped.find(path) is not None) == path.isascii()


@pytest.mark.parametrize(
    "path",
    [
        "/models/",
        "/models/.",
        "/models/..",
        "/models/%2e",
        "/models/.%2E",
        "/models/%2e%2e",
        "/models/a%2fb",
        "/models/a%5cb",
        "/models/a%00",
        "/models/a;b",
        "/models/a?b",
        "/models/a/b",
        "/models/a\\b",
        "/models/a%zz",
        "//models",
        "/MODELS",
        "",
        "/",
    ],
)
def test_another_spelling_is_another_path(shipped: Endpoints, path: str) -> None:
    assert shipped.find(path) is None


@given(st.text())
def test_no_id_contains_a_separator(shipped: Endpoints, text: str) -> None:
    if shipped.find(f"/files/{text}") is not None:
        assert not set(text) & set("/\\?#;")
        assert text not in (".", "..")


def test_a_provider_has_the_families_that_it_names(tmp_path: Path) -> None:
    text = (
        "providers:\n  first: {}\n  second: {base_url: 'http://localhost:1/v1', families: [b]}\n"
        "families:\n  a: [{path: /a, methods: [GET]}]\n  b: [{path: /b, methods: [GET]}]\n"
    )
    providers = load_providers(write(tmp_path, text))
    assert providers.default.name == "first"
    assert providers.default.endpoints.names() == ["GET /a", "GET /b"]
    second = providers.get("second")
    assert second is not None
    assert second.base_url == "http://localhost:1/v1"
    found = second.endpoints.find("/b")
    assert found is not None
    assert found.family == "b"
    assert providers.get("third") is None


def test_an_endpoint_may_speak_websocket_only_or_too(shipped: Endpoints) -> None:
    realtime, responses, chat = (
        shipped.find(path) for path in ("/realtime", "/responses", "/chat/completions")
    )
    assert realtime is not None
    assert (realtime.methods, realtime.websocket) == ((), True)
    assert responses is not None
    assert ("POST" in responses.methods, responses.websocket) == (True, True)
    assert chat is not None
    assert not chat.websocket
    assert {"WEBSOCKET /realtime", "WEBSOCKET /responses"} <= set(shipped.names())

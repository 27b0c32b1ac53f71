from pathlib import Path

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from proxy.providers import InvalidProvidersError, Providers, load_providers

VALID = "endpoints:\n  - {path: /models, methods: [GET], usage: none}\n"


@pytest.fixture(scope="module")
def shipped() -> Providers:
    return load_providers(settings.PROVIDERS_FILE)


def write(folder: Path, text: str) -> Path:
    file = folder / "providers.yaml"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "Expected `object`"),
        ("endpoints: []", "length >= 1"),
        (VALID + "surprise: 1\n", "unknown field `surprise`"),
        ("endpoints:\n  - {path: /models, methods: [GET], usage: none, x: 1}\n", "unknown field `x`"),
        ("endpoints:\n  - {path: /models, methods: [FETCH], usage: none}\n", "Invalid enum value"),
        ("endpoints:\n  - {path: /models, methods: [], usage: none}\n", "length >= 1"),
        ("endpoints:\n  - {path: models, methods: [GET], usage: none}\n", "matching regex"),
        ("endpoints:\n  - {path: /mo.*, methods: [GET], usage: none}\n", "matching regex"),
        ("endpoints:\n  - {path: /models, usage: none}\n", "missing required field `methods`"),
        ("endpoints:\n  - {path: /models, methods: [GET], usage: some}\n", "Invalid enum value"),
        (VALID + "  - {path: /models, methods: [POST], usage: none}\n", "/models is listed twice"),
        ("endpoints: [\n", "is not YAML"),
        ("endpoints: !!python/object/apply:os.system [ls]\n", "is not YAML"),
    ],
)
def test_a_doubtful_file_is_refused_with_the_reason(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(InvalidProvidersError) as refused:
        load_providers(write(tmp_path, text))

    assert complaint in str(refused.value)


def test_two_templates_of_one_shape_are_refused(tmp_path: Path) -> None:
    text = (
        'endpoints:\n  - {path: "/files/{id}", methods: [GET], usage: none}\n'
        '  - {path: "/files/{file_id}", methods: [DELETE], usage: none}\n'
    )
    with pytest.raises(InvalidProvidersError, match="listed twice"):
        load_providers(write(tmp_path, text))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidProvidersError, match="No such file"):
        load_providers(tmp_path / "none.yaml")


def test_a_literal_path_wins_over_a_template(shipped: Providers) -> None:
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
def test_an_id_may_be_any_segment_of_a_url(shipped: Providers, path: str) -> None:
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
def test_another_spelling_is_another_path(shipped: Providers, path: str) -> None:
    assert shipped.find(path) is None


@given(st.text())
def test_no_id_contains_a_separator(shipped: Providers, text: str) -> None:
    if shipped.find(f"/files/{text}") is not None:
        assert not set(text) & set("/\\?#;")
        assert text not in (".", "..")

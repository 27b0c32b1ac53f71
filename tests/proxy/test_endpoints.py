import re

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from proxy.endpoints import Endpoint, Endpoints, shape
from proxy.providers import load_providers


@pytest.fixture(scope="module")
def shipped() -> Endpoints:
    return load_providers(settings.PROVIDERS_FILE).default.endpoints


def endpoints(*paths: str) -> Endpoints:
    return Endpoints(tuple(Endpoint(path=path, methods=("GET",)) for path in paths))


def found(among: Endpoints, path: str) -> str | None:
    endpoint = among.find(path)
    return endpoint.path if endpoint is not None else None


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


ANY = endpoints(
    "/{any*}", "/a/{rest*}", "/a/{one}/x", "/a/{one}", "/{one}/b", "/a/b", "/a/b/{rest*}", "/{one}/{two}/x"
)


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/a/b", "/a/b"),
        ("/a/c", "/a/{one}"),
        ("/c/b", "/{one}/b"),
        ("/a/c/x", "/a/{one}/x"),
        ("/c/c/x", "/{one}/{two}/x"),
        ("/a/b/c", "/a/b/{rest*}"),
        ("/a/b/c/d", "/a/b/{rest*}"),
        ("/a/c/c", "/a/{rest*}"),
        ("/c", "/{any*}"),
        ("/c/d/e/f", "/{any*}"),
    ],
)
def test_literal_beats_template_beats_catch_all(path: str, template: str) -> None:
    assert found(ANY, path) == template
    assert found(Endpoints(tuple(reversed(ANY._all))), path) == template


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "//",
        "//a",
        "/a/",
        "/a//b",
        "/a/b/",
        "/a/..",
        "/a/../b",
        "/a/./b",
        "/a/%2e%2E/b",
        "/a/b%2fc",
        "/a/b/..",
        "/a/b;c/d",
        "/a/b\\c",
        "/a/b/%00",
        "/a/\n",
    ],
)
def test_a_catch_all_is_as_strict_with_each_segment(path: str) -> None:
    assert found(ANY, path) is None


@given(st.text(alphabet="a/.%2eEfF5c;\\", max_size=20))
def test_a_catch_all_lets_no_path_pass_that_could_become_another(text: str) -> None:
    path = f"/{text}"
    if ANY.find(path) is not None:
        segments = path[1:].split("/")
        assert "" not in segments
        assert not {"%2e", "%2E", ".", ".."} & {re.sub("%2[eE]", ".", segment) for segment in segments}
        assert not re.search(r"%2[fF]|%5[cC]|;|\\", path)


def test_what_is_allowed_is_named() -> None:
    both = Endpoints(
        (
            Endpoint(path="/models", methods=("GET",)),
            Endpoint(path="/files", methods=("GET", "POST")),
        )
    )
    assert both.names(lambda endpoint, method: method == "POST") == ["POST /files"]


def test_paths_of_one_shape_differ_in_the_names_of_their_variables_alone() -> None:
    assert shape("/files/{id}/{rest*}") == shape("/files/{file_id}/{path*}")
    assert shape("/files/{id}") != shape("/files/{id*}")
    assert shape("/files/id") != shape("/files/{id}")

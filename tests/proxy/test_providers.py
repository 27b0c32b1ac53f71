import re
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings
from structlog.testing import capture_logs

from llm_proxy_site.fake_upstream.operations import published
from proxy.headers import to_upstream
from proxy.providers import InvalidProvidersError, load_providers

FILE = """
providers:
  first: {}
  azure:
    base_url: https://gateway.example.com/openai/v1/
    key: {header: Api-Key}
    headers: {drop: [X-Stainless-Os], set: {X-Gateway: "blue", openai-project: proj_provider}}
    families: [b]
    max_request_bytes: 5000
    connect_timeout_seconds: 2
    read_timeout_seconds: 30.5
families:
  a:
    - {path: /a, methods: [GET]}
  b:
    - {path: /b, methods: [GET, POST], usage: openai}
    - {path: /c, methods: [POST], usage: none, max_request_bytes: 7, read_timeout_seconds: 1}
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "providers.yaml"
    file.write_text(text)
    return file


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidProvidersError, match="No such file"):
        load_providers(tmp_path / "none.yaml")


def test_a_provider_has_the_families_that_it_names(tmp_path: Path) -> None:
    providers = load_providers(write(tmp_path, FILE))
    assert providers.names == ("first", "azure")
    assert providers.default.name == "first"
    assert providers.default.endpoints.names() == ["GET /a", "GET /b", "POST /b", "POST /c"]
    azure = providers.get("azure")
    assert azure is not None
    assert azure.endpoints.names() == ["GET /b", "POST /b", "POST /c"]
    found = azure.endpoints.find("/b")
    assert found is not None
    assert found.family == "b"
    assert providers.get("third") is None
    assert providers.get("") is providers.default


def test_a_provider_says_what_differs_from_the_settings(tmp_path: Path, settings: Settings) -> None:
    settings.UPSTREAM_BASE_URL = "http://default.test/v1/"
    settings.REQUEST_MAX_BYTES = 1000
    settings.UPSTREAM_CONNECT_TIMEOUT_SECONDS, settings.UPSTREAM_READ_TIMEOUT_SECONDS = 10, 600
    providers = load_providers(write(tmp_path, FILE))
    azure = providers.get("azure")
    assert azure is not None
    assert providers.default.base_url == "http://default.test/v1"
    assert azure.base_url == "https://gateway.example.com/openai/v1"
    limits = [
        (endpoint.max_request_bytes, endpoint.timeout)
        for provider in (providers.default, azure)
        for path in ("/b", "/c")
        if (endpoint := provider.endpoints.find(path))
    ]
    assert limits == [
        (1000, {"connect": 10, "first_byte": 600, "read": 600, "total": 0}),
        (7, {"connect": 10, "first_byte": 1, "read": 1, "total": 0}),
        (5000, {"connect": 2, "first_byte": 30.5, "read": 30.5, "total": 0}),
        (7, {"connect": 2, "first_byte": 1, "read": 1, "total": 0}),
    ]


def test_the_headers_of_a_provider_are_as_it_wants_them(tmp_path: Path) -> None:
    azure = load_providers(write(tmp_path, FILE)).get("azure")
    assert azure is not None
    sent = [
        (b"authorization", b"Bearer token"),
        (b"api-key", b"token"),
        (b"x-stainless-os", b"Linux"),
        (b"x-gateway", b"red"),
        (b"x-other", b"1"),
    ]
    ours = [(b"x-other", b"1"), (b"api-key", b"key"), (b"accept-encoding", b"identity")]
    gateway, projects = (b"x-gateway", b"blue"), (b"openai-project", b"proj_provider")
    assert to_upstream(sent, "key", azure.headers) == [*ours, gateway, projects]
    own = (b"openai-project", b"proj_own")
    assert to_upstream(sent, "key", azure.headers, (own,)) == [*ours, own, gateway]


def test_a_provider_that_is_not_configured_is_logged_once(tmp_path: Path) -> None:
    providers = load_providers(write(tmp_path, FILE))
    with capture_logs() as lines:
        assert [providers.get(name) for name in ("third", "third", "fourth")] == [None] * 3
    assert [line["provider"] for line in lines] == ["third", "fourth"]


@pytest.mark.parametrize("name", ["proxy/providers.yaml", "docs/providers.md"])
def test_what_is_shipped_and_what_is_documented_can_be_used(name: str, tmp_path: Path) -> None:
    text = (Path(settings.BASE_DIR) / name).read_text(encoding="utf-8")
    examples = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if name.endswith(".md") else [text]
    assert examples
    for example in examples:
        assert load_providers(write(tmp_path, example)).names


def test_only_uploads_of_files_may_stream_as_forms() -> None:
    endpoints = load_providers(Path(settings.BASE_DIR) / "proxy/providers.yaml").default.endpoints
    forms = [
        endpoints.find(operation.path.replace("{", "").replace("}", ""))
        for operation in published()
        if "multipart/form-data" in operation.request_types
    ]
    free = {endpoint.path for endpoint in forms if endpoint is not None and endpoint.usage == "none"}
    streaming = endpoints.names(lambda endpoint, method: endpoint.takes_files)
    assert {name.split()[1] for name in streaming} == free


@given(st.binary(max_size=60) | st.text(alphabet="{}[]:&*!?-#|>'\"%@,ab1 \n", max_size=60).map(str.encode))
def test_any_file_is_read_or_refused_with_a_line(content: bytes) -> None:
    with NamedTemporaryFile() as file:
        Path(file.name).write_bytes(content)
        with pytest.raises(InvalidProvidersError) as refused:
            load_providers(Path(file.name))
    assert all(re.match(rf"{re.escape(file.name)}:\d+: ", problem) for problem in refused.value.problems)


def test_the_methods_of_a_path_are_those_of_all_providers(tmp_path: Path) -> None:
    text = (
        "providers:\n  first: {families: [a]}\n  second: {families: [b]}\n"
        "families:\n  a: [{path: /x, methods: [GET]}]\n  b: [{path: /x, methods: [GET, DELETE]}]\n"
    )
    providers = load_providers(write(tmp_path, text))
    assert providers.methods_of("/x") == ("GET", "DELETE")
    assert providers.methods_of("/y") == ()


def test_usage_is_asked_for_and_background_work_known_where_openai_has_them() -> None:
    shipped = load_providers(settings.PROVIDERS_FILE).default.endpoints
    paths = {name.split()[1] for name in shipped.names()}
    found = {path: shipped.find(path.replace("{id}", "x")) for path in paths}
    assert {path for path, endpoint in found.items() if endpoint and endpoint.asks_usage} == {
        "/chat/completions",
        "/completions",
    }
    assert {path for path, endpoint in found.items() if endpoint and endpoint.background} == {
        "/batches",
        "/batches/{id}",
        "/batches/{id}/cancel",
        "/responses",
        "/responses/{id}",
        "/responses/{id}/cancel",
        "/threads/runs",
        "/threads/{id}/runs",
        "/threads/{id}/runs/{id}",
        "/threads/{id}/runs/{id}/cancel",
        "/threads/{id}/runs/{id}/submit_tool_outputs",
    }


def test_an_endpoint_may_speak_websocket_only_or_too() -> None:
    shipped = load_providers(settings.PROVIDERS_FILE).default.endpoints
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

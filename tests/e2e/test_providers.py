"""Other upstreams than OpenAI, by configuration alone: each as its file says, and as the project says."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
from asgiref.sync import sync_to_async
from pytest_django import Settings

from llm_proxy_site.processes import running
from projects.lifecycle import update_project
from projects.models import Project
from tests.factories import UPSTREAM_KEY, ProjectFactory, issue_token
from tests.live import LiveProxy, eventually, proxy_before
from tests.sockets import ask, talk, talking, upstream_socket
from usage.models import UsageRecord

pytestmark = pytest.mark.xdist_group("providers")  # one process of tests, one server

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Say something."}]}
FILE = """
providers:
  openai: {{}}
  azure:
    base_url: {origin}/openai/v1
    key: {{header: api-key}}
    headers:
      drop: [x-stainless-os]
      set: {{x-gateway: blue, openai-project: proj_provider}}
    families: [chat, secrets, sockets]
  local:
    base_url: {origin}/v1
    families: [chat, everything]
    max_request_bytes: 400
    read_timeout_seconds: 0.3
families:
  chat:
    - {{path: /chat/completions, methods: [GET, POST], usage: openai}}
  uploads:
    - {{path: /embeddings, methods: [POST], usage: input, max_request_bytes: 100, read_timeout_seconds: 0.3}}
  secrets:
    - {{path: /realtime/client_secrets, methods: [POST], usage: unreported, leads_past_us: true}}
  sockets:
    - {{path: /realtime, websocket: true, usage: openai}}
  everything:
    - {{path: /models, methods: [GET]}}
    - {{path: "/models/{{id}}", methods: [DELETE]}}
    - {{path: "/{{rest*}}", methods: [GET]}}
"""


@pytest.fixture(scope="module")
def _server(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveProxy]:
    folder = tmp_path_factory.mktemp("providers")
    with running("-m", "llm_proxy_site.fake_upstream", "--bind", "127.0.0.1:0") as (_, line):
        upstream_url = line.split()[-1]
        file = folder / "providers.yaml"
        file.write_text(FILE.format(origin=upstream_url.removesuffix("/v1")))
        with proxy_before(upstream_url, folder / "proxy.log", PROVIDERS_FILE=str(file)) as live:
            yield live


@pytest.fixture
def server(_server: LiveProxy, transactional_db: None) -> LiveProxy:
    return _server


def token_of(provider: str, **fields: Any) -> str:
    return issue_token(project=ProjectFactory.create(provider=provider, **fields))[1]


def send(
    server: LiveProxy, plain: str, method: str, path: str, body: object = None, **headers: str
) -> httpx.Response:
    content = None if body is None else json.dumps(body).encode()
    media = {} if body is None else {"content-type": "application/json"}
    return httpx.request(
        method,
        f"{server.base_url}{path}",
        content=content,
        headers={"authorization": f"Bearer {plain}", **media, **headers},
    )


def test_an_azure_like_gateway_gets_its_key_header_its_path_and_its_headers(server: LiveProxy) -> None:
    plain = token_of("azure")
    headers = {
        "x-marker": "azure-marker",
        "x-stainless-os": "Linux",
        "x-gateway": "red",
        "api-key": plain,
        "openai-project": "proj_client",
    }
    answer = send(server, plain, "POST", "/chat/completions?api-version=1", CHAT, **headers)

    assert answer.status_code == 200
    (request,) = server.upstream_requests("azure-marker")
    assert request["target"] == "/openai/v1/chat/completions?api-version=1"
    sent = [(name.lower(), value) for name, value in request["headers"]]
    assert [value for name, value in sent if name == "api-key"] == [UPSTREAM_KEY]
    assert [value for name, value in sent if name == "x-gateway"] == ["blue"]
    assert [value for name, value in sent if name == "openai-project"] == ["proj_provider"]
    assert not {"authorization", "x-stainless-os"} & {name for name, _ in sent}
    assert plain not in str(request)


def test_usage_of_another_provider_is_counted_as_well(server: LiveProxy) -> None:
    token, plain = issue_token(project=ProjectFactory.create(provider="azure"))
    assert send(server, plain, "POST", "/chat/completions", CHAT).status_code == 200

    record = eventually(lambda: UsageRecord.objects.filter(token=token).first())
    assert (record.usage_source, record.endpoint) == ("upstream", "/chat/completions")
    assert record.output_tokens > 0


def test_a_project_says_who_pays_and_where(server: LiveProxy) -> None:
    plain = token_of("azure", upstream_organization="org-own", upstream_project="proj_own")
    elsewhere = token_of("azure", base_url=server.upstream_url)
    headers = {"openai-organization": "org-client"}
    send(server, plain, "POST", "/chat/completions", CHAT, **headers, **{"x-marker": "pays-marker"})
    send(server, elsewhere, "POST", "/chat/completions", CHAT, **headers, **{"x-marker": "where-marker"})

    (request,) = server.upstream_requests("pays-marker")
    sent = [(name.lower(), value) for name, value in request["headers"]]
    assert [value for name, value in sent if name == "openai-organization"] == ["org-own"]
    assert [value for name, value in sent if name == "openai-project"] == ["proj_own"]
    (request,) = server.upstream_requests("where-marker")
    assert request["target"] == "/v1/chat/completions"
    assert "openai-organization" not in {name.lower() for name, _ in request["headers"]}


def test_another_provider_is_felt_within_two_seconds(server: LiveProxy, settings: Settings) -> None:
    settings.PROVIDERS_FILE = server.log_file.parent / "providers.yaml"
    token, plain = issue_token(project=ProjectFactory.create(provider="azure"))
    assert send(server, plain, "GET", "/models").status_code == 404
    update_project(token.project, provider="local", actor="user:test")

    eventually(lambda: send(server, plain, "GET", "/models").status_code == 200, within_seconds=3)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/chat/completions", 200),
        ("POST", "/embeddings", 405),  # of the catch-all, which knows GET
        ("GET", "/models", 200),
        ("GET", "/models/gpt-4o-mini", 405),
        ("GET", "/files/file-size-10/content", 200),
        ("GET", "/files/file-size-10/", 404),
        ("GET", "/files//content", 404),
        ("GET", "/files/%2e%2e/content", 404),
        ("GET", "/files/a%2fb/content", 404),
    ],
)
def test_a_local_server_has_few_families_and_a_catch_all(
    server: LiveProxy, method: str, path: str, status: int
) -> None:
    plain = token_of("local")
    with httpx.Client() as client:
        request = client.build_request(
            method,
            server.base_url,
            json=CHAT if method == "POST" else None,
            headers={"authorization": f"Bearer {plain}"},
        )
        request.extensions["target"] = f"/v1{path}?m=local-{status}-marker".encode()
        answer = client.send(request)

    assert answer.status_code == status
    if status != 200:
        assert answer.json()["error"]["code"] in ("endpoint_not_found", "method_not_allowed")
        assert server.upstream_requests(f"local-{status}-marker") == []


def test_what_a_catch_all_let_pass_is_recorded_under_it(server: LiveProxy) -> None:
    token, plain = issue_token(project=ProjectFactory.create(provider="local"))
    send(server, plain, "GET", "/files/file-size-10/content")

    record = eventually(lambda: UsageRecord.objects.filter(token=token).first())
    assert (record.endpoint, record.path) == ("/{rest*}", "/v1/files/file-size-10/content")


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("fields", [{}, {"monthly_budget_microusd": 10**9}])
@pytest.mark.parametrize(
    ("provider", "path", "limit"), [("local", "/chat/completions", 400), ("", "/embeddings", 100)]
)
def test_a_body_may_be_as_large_as_its_endpoint_says(
    server: LiveProxy, provider: str, path: str, limit: int, is_chunked: bool, fields: dict[str, Any]
) -> None:
    plain = token_of(provider, **fields)

    def post(size_bytes: int) -> httpx.Response:
        frame = {**CHAT, "input": ""} if provider else {"model": "text-embedding-3-small", "input": ""}
        text = "x" * (size_bytes - len(json.dumps(frame)))
        body = json.dumps({**frame, "input": text}).encode()
        assert len(body) == size_bytes
        return httpx.post(
            f"{server.base_url}{path}",
            content=iter([body]) if is_chunked else body,
            headers={"authorization": f"Bearer {plain}", "content-type": "application/json"},
        )

    assert post(limit).status_code == 200
    refused = post(limit + 1)
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "request_too_large")


@pytest.mark.parametrize(
    ("provider", "path", "body", "status"),
    [
        ("local", "/chat/completions", CHAT, 504),
        ("", "/embeddings", {"model": "text-embedding-3-small", "input": "x"}, 504),
        ("", "/chat/completions", CHAT, 200),
    ],
)
def test_upstream_may_take_as_long_as_its_endpoint_says(
    server: LiveProxy, provider: str, path: str, body: dict[str, Any], status: int
) -> None:
    answer = send(server, token_of(provider), "POST", path, body, **{"x-fake-delay-ms": "900"})

    assert answer.status_code == status
    assert status == 200 or answer.json()["error"]["code"] == "upstream_timeout"


def test_what_leads_past_us_passes_where_the_project_permits_it(server: LiveProxy) -> None:
    refused, permitted = token_of("azure"), token_of("azure", permits_leading_past_us=True)

    def ask(plain: str) -> httpx.Response:
        return send(server, plain, "POST", "/realtime/client_secrets?m=secrets-marker", {})

    assert ask(refused).json()["error"]["code"] == "endpoint_not_permitted"
    assert server.upstream_requests("secrets-marker") == []
    ask(permitted)  # the fake upstream has no such endpoint
    (request,) = server.upstream_requests("secrets-marker")
    assert request["target"].startswith("/openai/v1/realtime/client_secrets")


def test_a_token_names_the_endpoints_of_its_provider(server: LiveProxy) -> None:
    def endpoints(provider: str, **fields: Any) -> list[str]:
        headers = {"authorization": f"Bearer {token_of(provider, **fields)}"}
        names: list[str] = httpx.get(f"{server.url}/token", headers=headers).json()["endpoints"]
        return names

    chat = ["GET /chat/completions", "POST /chat/completions"]
    permitted = ["POST /realtime/client_secrets", "WEBSOCKET /realtime"]
    assert endpoints("azure") == [*chat, "WEBSOCKET /realtime"]
    assert endpoints("azure", permits_leading_past_us=True) == [*chat, *permitted]
    assert endpoints("local") == [*chat, "GET /models", "DELETE /models/{id}", "GET /{rest*}"]
    assert endpoints("gone") == []


def test_a_project_whose_provider_is_gone_is_told_so_and_so_is_the_operator(server: LiveProxy) -> None:
    token, plain = issue_token(project=ProjectFactory.create(provider="gone"))

    answer = send(server, plain, "GET", "/models?m=gone-marker")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "provider_not_configured")
    assert answer.headers["x-should-retry"] == "false"
    assert server.upstream_requests("gone-marker") == []
    told = [json.loads(line) for line in server.log().splitlines() if "not configured" in line]
    assert ("error", "gone") in [(line["level"], line["provider"]) for line in told]

    Project.objects.filter(pk=token.project_id).update(provider="")
    record = eventually(lambda: UsageRecord.objects.filter(token=token).first())
    assert record.error_code == "provider_not_configured"


def test_the_server_names_such_projects_when_it_starts(
    django_db_setup: None, transactional_db: None, tmp_path: Path
) -> None:
    ProjectFactory.create(name="alpha", provider="gone")
    with proxy_before("http://127.0.0.1:1/v1", tmp_path / "proxy.log") as live:
        assert "The project alpha names the provider gone, which is not configured." in live.log()


@talking
async def test_a_websocket_goes_to_the_provider_of_its_project(server: LiveProxy) -> None:
    fields = {"provider": "azure", "upstream_organization": "org-own"}
    plain = await sync_to_async(token_of)(**fields)
    async with talk(server, plain, headers={"x-marker": "socket-to-azure", "x-gateway": "red"}) as client:
        await ask(client, "hello")
        await client.hear_until("response.done")

    recorded = await upstream_socket(server, "socket-to-azure")
    assert recorded["target"] == "/openai/v1/realtime?model=gpt-realtime"
    headers = {name.lower(): value for name, value in recorded["headers"]}
    assert "authorization" not in headers
    assert {name: headers[name] for name in ("api-key", "x-gateway", "openai-organization")} == {
        "api-key": UPSTREAM_KEY,
        "x-gateway": "blue",
        "openai-organization": "org-own",
    }


@talking
async def test_a_provider_without_websockets_refuses_them(server: LiveProxy) -> None:
    plain = await sync_to_async(token_of)("local")
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with talk(server, plain):
            pass
    assert refused.value.status == 404

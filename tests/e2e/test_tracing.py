"""What an OpenTelemetry collector is told of requests to a real server, and upstream of their traces."""

import asyncio
import json
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from llm_proxy_site.version import __version__
from tests.collector import Collector, Received, collecting
from tests.factories import issue_token
from tests.live import LiveProxy, eventually, serving
from tests.postgres import free_port
from tests.sockets import ask, new_token, rows, talk, talking
from tokens.models import AccessToken

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "a-word-of-a-prompt"}]}
COLLECTORS_KEY = "key-of-the-collector"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture(scope="module")
def _traced(
    collector: Collector, django_db_setup: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveProxy]:
    with serving(
        tmp_path_factory.mktemp("traced"),
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_EXPORTER_OTLP_HEADERS=f"x-api-key={COLLECTORS_KEY}",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=tests",
    ) as live:
        yield live


@pytest.fixture
def traced(_traced: LiveProxy, transactional_db: None) -> LiveProxy:
    """A server that sends traces."""
    return _traced


class Client:
    """Whose requests are part of a trace of its own."""

    def __init__(self, live: LiveProxy, plain: str | None = None, *, flags: str = "01") -> None:
        self.live = live
        self.token: AccessToken | None = None
        self.plain = plain or ""
        if plain is None:
            self.token, self.plain = issue_token()
        self.trace_id, self.span_id = secrets.token_hex(16), secrets.token_hex(8)
        self.headers = {
            "authorization": f"Bearer {self.plain}",
            "traceparent": f"00-{self.trace_id}-{self.span_id}-{flags}",
            "x-marker": self.trace_id,
        }

    def post(self, path: str = "/chat/completions", body: Any = CHAT, **faults: str) -> httpx.Response:
        script = {f"x-fake-{name.replace('_', '-')}": value for name, value in faults.items()}
        return httpx.post(self.live.base_url + path, json=body, headers=self.headers | script)

    def seen_upstream(self) -> list[dict[str, str]]:
        """The headers of its requests there."""
        return [
            {name.lower(): value for name, value in request["headers"]}
            for request in self.live.upstream_requests(self.trace_id)
        ]


def test_a_request_is_a_span_within_its_clients_and_upstream_one_within_it(
    traced: LiveProxy, collector: Collector
) -> None:
    client = Client(traced)
    answer = client.post()

    server, upstream = collector.trace(client.trace_id, 2)
    assert (server.name, server.kind) == ("POST /v1/chat/completions", "SERVER")
    assert server.span.parent_span_id.hex() == client.span_id
    proxy = urlsplit(traced.url)
    assert (
        server.attributes.items()
        >= {
            "http.request.method": "POST",
            "url.scheme": "http",
            "url.path": "/v1/chat/completions",
            "http.route": "/v1/chat/completions",
            "http.response.status_code": 200,
            "server.address": proxy.hostname,
            "server.port": proxy.port,
            "llm_proxy.request.id": answer.headers["x-llm-proxy-request-id"],
            "llm_proxy.project.id": str(client.token.project_id),
            "llm_proxy.token.id": str(client.token.id),
            "llm_proxy.outcome": "completed",
        }.items()
    )
    assert "error.type" not in server.attributes
    assert (upstream.name, upstream.kind) == ("chat gpt-4o", "CLIENT")
    assert upstream.span.parent_span_id == server.span.span_id
    usage, there = answer.json()["usage"], urlsplit(traced.upstream_url)
    assert (
        upstream.attributes.items()
        >= {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.response.model": answer.json()["model"],
            "gen_ai.response.id": answer.json()["id"],
            "gen_ai.usage.input_tokens": usage["prompt_tokens"],
            "gen_ai.usage.output_tokens": usage["completion_tokens"],
            "openai.api.type": "chat_completions",
            "server.address": there.hostname,
            "server.port": there.port,
            "http.response.status_code": 200,
        }.items()
    )
    assert upstream.attributes["gen_ai.response.finish_reasons"] == [
        choice["finish_reason"] for choice in answer.json()["choices"]
    ]
    assert not {"gen_ai.request.stream", "http.request.resend_count"} & upstream.attributes.keys()
    assert_nested(server, upstream)
    assert (
        server.resource.items()
        >= {
            "service.name": "llm-proxy",
            "service.version": __version__,
            "deployment.environment.name": "tests",
        }.items()
    )


def test_a_stream_says_when_its_first_chunk_came(traced: LiveProxy, collector: Collector) -> None:
    client = Client(traced)
    client.post(body={**CHAT, "stream": True}, delay_ms="150", chunk_delay_ms="10")

    server, upstream = collector.trace(client.trace_id, 2)
    assert upstream.attributes["gen_ai.request.stream"] is True
    assert 0.15 <= upstream.attributes["gen_ai.response.time_to_first_chunk"] < seconds(upstream)
    assert upstream.attributes["gen_ai.usage.output_tokens"] > 0
    assert upstream.attributes["gen_ai.response.id"].startswith("chatcmpl-")
    assert_nested(server, upstream)


@pytest.mark.parametrize(
    ("path", "body", "reasons", "prefix"),
    [
        ("/chat/completions", CHAT, ["stop"], "chatcmpl-"),
        ("/chat/completions", {**CHAT, "n": 3, "max_tokens": 2}, ["length"] * 3, "chatcmpl-"),
        ("/completions", {"model": "davinci-002", "prompt": "Hi", "max_tokens": 2}, ["length"], "cmpl-"),
        ("/responses", {"model": "gpt-4o", "input": "Hi"}, None, "resp_"),
    ],
)
@pytest.mark.parametrize("is_stream", [False, True])
def test_a_stream_says_how_its_choices_ended_as_the_whole_answer_does(
    traced: LiveProxy,
    collector: Collector,
    path: str,
    body: dict[str, Any],
    reasons: list[str] | None,
    prefix: str,
    is_stream: bool,
) -> None:
    client = Client(traced)
    client.post(path, {**body, "stream": is_stream})

    _, upstream = collector.trace(client.trace_id, 2)
    assert upstream.attributes.get("gen_ai.response.finish_reasons") == reasons
    assert upstream.attributes["gen_ai.response.id"].startswith(prefix)


def test_a_stream_that_reports_no_usage_says_how_it_ended(traced: LiveProxy, collector: Collector) -> None:
    client = Client(traced)
    client.headers["content-digest"] = "sha-256=:of-this-body-as-it-is:"  # so usage is not asked for
    client.post(body={**CHAT, "stream": True})

    _, upstream = collector.trace(client.trace_id, 2)
    assert upstream.attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert upstream.attributes["gen_ai.response.id"].startswith("chatcmpl-")
    assert not [name for name in upstream.attributes if name.startswith("gen_ai.usage.")]


@pytest.mark.parametrize(
    ("path", "body", "name", "prefix"),
    [
        ("/responses", {"model": "gpt-4o", "input": "Hi"}, "chat gpt-4o", "resp_"),
        ("/responses", {"model": "gpt-4o", "input": "Hi", "stream": True}, "chat gpt-4o", "resp_"),
        ("/completions", {"model": "davinci-002", "prompt": "Hi"}, "text_completion davinci-002", "cmpl-"),
        (
            "/embeddings",
            {"model": "text-embedding-3-small", "input": "Hi"},
            "embeddings text-embedding-3-small",
            "",
        ),
    ],
)
def test_each_kind_of_model_call_has_its_operation(
    traced: LiveProxy, collector: Collector, path: str, body: dict[str, Any], name: str, prefix: str
) -> None:
    client = Client(traced)
    client.post(path, body)

    _, upstream = collector.trace(client.trace_id, 2)
    assert upstream.name == name
    assert upstream.attributes["gen_ai.usage.input_tokens"] > 0
    assert upstream.attributes.get("gen_ai.response.id", "").startswith(prefix)


def test_what_is_for_no_model_is_told_by_its_paths_template(traced: LiveProxy, collector: Collector) -> None:
    client = Client(traced)
    url = f"{traced.base_url}/files/file-size-10/content?a-word=of-the-query"
    httpx.get(url, headers=client.headers)

    server, upstream = collector.trace(client.trace_id, 2)
    assert server.name == "GET /v1/files/{id}/content"
    assert upstream.name == "GET /files/{id}/content"
    assert not [name for name in upstream.attributes if name.startswith("gen_ai.")]
    assert not {"file-size-10", "of-the-query"} & set(" ".join(texts([server, upstream])).split("/"))


def test_a_refusal_is_a_span_of_its_own_and_names_no_path(traced: LiveProxy, collector: Collector) -> None:
    stranger, lost = Client(traced, "sk-wt-nobody"), Client(traced)
    stranger.post()
    lost.post("/chat/sk-this-is-no-path")

    (server,) = collector.trace(stranger.trace_id, 1)
    assert server.attributes["http.response.status_code"] == 401
    assert server.attributes["error.type"] == "invalid_api_key"
    assert server.attributes["llm_proxy.outcome"] == "refused"
    assert not server.is_error, "a server is not at fault where its client is"
    assert "llm_proxy.token.id" not in server.attributes
    (server,) = collector.trace(lost.trace_id, 1)
    assert server.name == "POST /v1/{path}"
    assert server.attributes["error.type"] == "endpoint_not_found"


def test_each_attempt_is_a_span_and_only_the_last_has_the_usage(
    traced: LiveProxy, collector: Collector
) -> None:
    client = Client(traced)
    client.post(status="503", times="1", seed=client.trace_id)

    server, first, second = collector.trace(client.trace_id, 3)
    assert server.attributes["http.response.status_code"] == 200
    assert first.is_error
    assert (first.attributes["http.response.status_code"], first.attributes["error.type"]) == (503, "503")
    assert "gen_ai.usage.input_tokens" not in first.attributes
    assert not second.is_error
    assert second.attributes["http.request.resend_count"] == 1
    assert second.attributes["gen_ai.usage.input_tokens"] > 0
    assert first.span.end_time_unix_nano < second.span.start_time_unix_nano
    assert {first.span.parent_span_id, second.span.parent_span_id} == {server.span.span_id}


def test_an_upstream_that_breaks_off_is_an_error_of_both(traced: LiveProxy, collector: Collector) -> None:
    client = Client(traced)
    with pytest.raises(httpx.HTTPError):
        client.post(body={**CHAT, "stream": True}, cut_after="2")

    server, upstream = collector.trace(client.trace_id, 2)
    assert server.is_error
    assert upstream.is_error
    assert server.attributes["error.type"] == upstream.attributes["error.type"] == "upstream_cut"


def test_a_client_that_hangs_up_ends_its_spans(traced: LiveProxy, collector: Collector) -> None:
    client = Client(traced)
    with httpx.stream(
        "POST",
        f"{traced.base_url}/chat/completions",
        json={**CHAT, "stream": True},
        headers=client.headers | {"x-fake-chunk-delay-ms": "200", "x-fake-chunks": "200"},
    ) as answer:
        next(answer.iter_bytes())

    server, upstream = collector.trace(client.trace_id, 2)
    assert server.attributes["llm_proxy.outcome"] == "client_closed"
    assert not upstream.is_error
    assert_nested(server, upstream)


@talking
async def test_a_websocket_is_a_span_and_so_is_each_of_its_turns(
    traced: LiveProxy, collector: Collector
) -> None:
    token, plain = await new_token()
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    headers = {"traceparent": f"00-{trace_id}-{span_id}-01"}
    async with talk(traced, plain, headers=headers) as client:
        for text in ("one", "two"):
            await ask(client, text)
            await client.hear_until("response.done")
    await rows(token, 3)

    server, opening, *turns = collector.trace(trace_id, 4)
    assert server.name == "GET /v1/realtime"
    assert server.span.parent_span_id.hex() == span_id
    assert server.attributes["http.response.status_code"] == 101
    assert opening.name == "GET /realtime"
    assert opening.span.parent_span_id == server.span.span_id
    for turn in turns:
        assert (turn.name, turn.kind) == ("chat gpt-realtime", "CLIENT")
        assert turn.span.parent_span_id == opening.span.span_id
        assert turn.attributes["gen_ai.usage.output_tokens"] > 0
        assert_nested(opening, turn)
    assert len({turn.attributes["llm_proxy.request.id"] for turn in turns}) == 2


def test_what_the_client_does_not_sample_is_not_sent_and_what_it_does_not_know_is(
    traced: LiveProxy, collector: Collector
) -> None:
    unsampled, broken = Client(traced, flags="00"), Client(traced)
    unsampled.post()
    broken.headers["traceparent"] = "00-nonsense"
    request_id = broken.post().headers["x-llm-proxy-request-id"]

    def found() -> list[Received]:
        return [
            each for each in collector.received if each.attributes.get("llm_proxy.request.id") == request_id
        ]

    (server,) = eventually(found)
    assert not server.span.parent_span_id
    assert not [each for each in collector.received if each.span.trace_id.hex() == unsampled.trace_id]


def test_upstream_learns_nothing_of_a_trace_and_the_log_does(traced: LiveProxy, collector: Collector) -> None:
    client = Client(traced)
    client.headers |= {"tracestate": "vendor=1", "baggage": "user=ada"}
    client.post()

    (seen,) = client.seen_upstream()
    assert not {"traceparent", "tracestate", "baggage"} & seen.keys()
    eventually(lambda: client.trace_id in traced.log())
    lines = [json.loads(line) for line in traced.log().splitlines()]
    (line,) = [line for line in lines if line.get("trace_id") == client.trace_id]
    assert (line["event"], line["status"]) == ("request", 200)


def test_no_secret_and_nothing_of_what_was_said_is_told(traced: LiveProxy, collector: Collector) -> None:
    client = Client(traced)
    client.headers |= {"cookie": "session=a-cookie", "user-agent": "an-agent"}
    words = client.post(f"/chat/completions?key={client.plain}").json()["choices"][0]["message"]["content"]
    spans = collector.trace(client.trace_id, 2)

    (seen,) = client.seen_upstream()
    key = seen["authorization"].removeprefix("Bearer ")
    told = "\n".join(texts(spans))
    for secret in (client.plain, key, "a-word-of-a-prompt", words, "a-cookie", "an-agent", COLLECTORS_KEY):
        assert secret
        assert secret not in told
    assert collector.headers[-1]["x-api-key"] == COLLECTORS_KEY
    assert collector.paths[-1] == "/v1/traces"
    assert COLLECTORS_KEY not in traced.log()


def test_the_context_goes_upstream_only_where_that_is_set(
    django_db_setup: None, transactional_db: None, tmp_path: Path
) -> None:
    with (
        collecting() as collector,
        serving(
            tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, TRACE_CONTEXT_UPSTREAM="true", WORKERS="1"
        ) as live,
    ):
        client = Client(live)
        client.headers |= {"tracestate": "vendor=1", "baggage": "user=ada"}
        client.post(status="503", times="1", seed=client.trace_id)
        server, first, second = collector.trace(client.trace_id, 3)
        unsampled = Client(live, flags="00")
        unsampled.post()

        seen = sorted(client.seen_upstream(), key=lambda headers: headers["traceparent"])
        (unseen,) = unsampled.seen_upstream()
        opening = Client(live)
        asyncio.run(open_socket(live, opening))
        _, attempt = collector.trace(opening.trace_id, 2)
        (seen_opening,) = opening.seen_upstream()
    expected = [f"00-{client.trace_id}-{each.span.span_id.hex()}-01" for each in (first, second)]
    assert [headers["traceparent"] for headers in seen] == sorted(expected)
    assert {(headers["tracestate"], headers["baggage"]) for headers in seen} == {("vendor=1", "user=ada")}
    assert server.span.trace_state == "vendor=1"
    assert unseen["traceparent"].startswith(f"00-{unsampled.trace_id}-")
    assert unseen["traceparent"].endswith("-00")
    assert seen_opening["traceparent"] == f"00-{opening.trace_id}-{attempt.span.span_id.hex()}-01"


async def open_socket(live: LiveProxy, client: Client) -> None:
    async with talk(live, client.plain, headers=client.headers):
        """Open is all that it is to be."""


def test_without_traces_the_context_passes_as_any_header(live: LiveProxy) -> None:
    client = Client(live)
    client.headers |= {"tracestate": "vendor=1", "baggage": "user=ada"}
    client.post()

    (seen,) = client.seen_upstream()
    assert {name: seen[name] for name in ("traceparent", "tracestate", "baggage")} == {
        name: client.headers[name] for name in ("traceparent", "tracestate", "baggage")
    }


def test_nothing_of_it_is_loaded_without_a_collector(live: LiveProxy, traced: LiveProxy) -> None:
    for each in (live, traced):
        Client(each).post()

    assert not speaks_protobuf(live)
    eventually(lambda: speaks_protobuf(traced))


@pytest.mark.redis
def test_every_worker_sends_what_it_has_at_the_end_too(
    redis_url: str, django_db_setup: None, transactional_db: None, tmp_path: Path
) -> None:
    plain = issue_token()[1]
    clients = []
    with collecting() as collector:
        with serving(
            tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, WORKERS="2", REDIS_URL=redis_url
        ) as live:

            def served_by() -> set[int]:
                clients.append(Client(live, plain))
                assert clients[-1].post().status_code == 200
                return {each.resource["process.pid"] for each in list(collector.received)}

            eventually(lambda: len(served_by()) == 2, within_seconds=30)
            for _ in range(10):
                served_by()
            live.process.send_signal(signal.SIGTERM)
            live.process.wait()
        told = {each.span.trace_id.hex() for each in collector.received if each.kind == "SERVER"}
        assert told == {client.trace_id for client in clients}


def test_a_collector_that_is_away_costs_clients_nothing_and_one_line_in_the_log(
    django_db_setup: None, transactional_db: None, tmp_path: Path
) -> None:
    port = free_port()
    with serving(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}", WORKERS="1") as live:
        clients = [Client(live) for _ in range(5)]
        assert [client.post().status_code for client in clients] == [200] * 5
        eventually(lambda: "traces cannot be sent" in live.log())
        clients += [Client(live) for _ in range(5)]
        assert [client.post().status_code for client in clients[5:]] == [200] * 5
        with collecting(port) as collector:
            for client in clients:
                collector.trace(client.trace_id, 2)
            eventually(lambda: "traces are sent again" in live.log())
        last = Client(live)
        last.post()
        live.process.send_signal(signal.SIGTERM)
        assert live.process.wait(timeout=60) == 0
        events = [json.loads(line)["event"] for line in live.log().splitlines()]
    assert events.count("traces cannot be sent") == 2, "once for each time that it is away"
    assert events[-1] != "traces have failed"
    assert "traces are not sent" in events


def speaks_protobuf(live: LiveProxy) -> bool:
    """By what its processes have in their memory: protobuf's part in C is there when it is imported."""
    server = psutil.Process(live.process.pid)
    return any(
        "/google/_upb/" in mapped.path
        for process in (server, *server.children(recursive=True))
        for mapped in process.memory_maps()
    )


def assert_nested(outer: Received, inner: Received) -> None:
    assert outer.span.start_time_unix_nano <= inner.span.start_time_unix_nano
    assert inner.span.start_time_unix_nano <= inner.span.end_time_unix_nano
    assert inner.span.end_time_unix_nano <= outer.span.end_time_unix_nano


def seconds(received: Received) -> float:
    return (received.span.end_time_unix_nano - received.span.start_time_unix_nano) / 1e9


def texts(spans: list[Received]) -> list[str]:
    """All that is said in them."""
    return [str(each.span) + str(each.resource) for each in spans]

"""An OpenTelemetry collector for tests: a real server that understands OTLP over HTTP, or does what a bad one
does.
"""

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from tests.live import eventually


@dataclass(frozen=True)
class Received:
    """One span."""

    span: trace_pb2.Span
    resource: dict[str, Any]

    @property
    def name(self) -> str:
        return self.span.name

    @property
    def attributes(self) -> dict[str, Any]:
        return _plain(self.span.attributes)

    @property
    def kind(self) -> str:
        return trace_pb2.Span.SpanKind.Name(self.span.kind).removeprefix("SPAN_KIND_")

    @property
    def is_error(self) -> bool:
        return self.span.status.code == trace_pb2.Status.STATUS_CODE_ERROR


class Collector:
    """Its behaviour may be changed while it runs."""

    def __init__(self) -> None:
        self.url = ""
        self.answers = 0
        """How many requests it has answered."""
        self.status = 200
        self.body: bytes | None = None
        """None: as a collector answers."""
        self.is_gone = False
        """Whether it answers no more, not even on connections that are open."""
        self.is_slow = threading.Event()
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.received: list[Received] = []

    def take(self, handler: BaseHTTPRequestHandler) -> tuple[int, bytes]:
        body = handler.rfile.read(int(handler.headers["content-length"]))
        self.paths.append(handler.path)
        self.headers.append({name.lower(): value for name, value in handler.headers.items()})
        while self.is_slow.is_set():
            time.sleep(0.05)
        self.answers += 1
        if self.status != 200 or self.body is not None:
            return self.status, self.body or b""
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            said = _plain(resource.resource.attributes)
            for scope in resource.scope_spans:
                self.received += [Received(span, said) for span in scope.spans]
        return 200, ExportTraceServiceResponse().SerializeToString()

    def trace(self, trace_id: str, count: int) -> list[Received]:
        """Its spans, once there are so many: those of servers first, then as they began."""

        def found() -> list[Received] | None:
            spans = [each for each in list(self.received) if each.span.trace_id.hex() == trace_id]
            return spans if len(spans) >= count else None

        spans = eventually(found, within_seconds=20)
        assert len(spans) == count, [each.name for each in spans]
        return sorted(spans, key=lambda each: (each.kind != "SERVER", each.span.start_time_unix_nano))


@contextmanager
def collecting(port: int = 0, *, certificate: Path | None = None) -> Iterator[Collector]:
    """`certificate`: a file with it and its key, for https."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            if collector.is_gone:
                self.close_connection = True
                return
            status, body = collector.take(self)
            self.send_response(status)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Tests show what matters."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    collector.url = f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"
    try:
        yield collector
    finally:
        collector.is_gone = True
        collector.is_slow.clear()
        server.shutdown()
        server.server_close()
        thread.join()


def _plain(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs if isinstance(pair, KeyValue)}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    assert kind is not None
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, kind)

"""The thread that sends spans: what it does with a collector that is away, slow, or none at all."""

import logging
import threading
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from structlog.testing import LogCapture

from proxy.tracing import exporter as exporter_module
from proxy.tracing.exporter import Exporter
from proxy.tracing.spans import Span
from tests.collector import Collector, collecting
from tests.live import eventually
from tests.postgres import free_port

Logs = list[MutableMapping[str, Any]]


def spans(name: str = "a") -> Callable[[], list[Span]]:
    span = Span(
        trace_id=b"t" * 16,
        span_id=b"s" * 8,
        parent_id=b"",
        state="",
        name=name,
        begins_ns=1,
        ends_ns=2,
        attributes={"text": "ä", "number": 1},
        is_error=False,
    )
    return lambda: [span]


@contextmanager
def exporting(url: str, **more: str) -> Iterator[Exporter]:
    exporter = Exporter(f"{url}/v1/traces", {"x-api-key": "secret@"}, resource={"service.name": "x"}, **more)
    exporter.start()
    try:
        yield exporter
    finally:
        exporter.stop()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(exporter_module, "FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(exporter_module, "BATCH_SECONDS", 0.05)
    yield
    eventually(lambda: all(thread.name != "traces" for thread in threading.enumerate()))


@pytest.fixture(autouse=True)
def logs(monkeypatch: pytest.MonkeyPatch) -> Logs:
    """Lines of level INFO too, which the tests' own log leaves out."""
    captured = LogCapture()
    everything = structlog.make_filtering_bound_logger(logging.INFO)
    log = structlog.wrap_logger(None, processors=[captured], wrapper_class=everything)
    monkeypatch.setattr(exporter_module, "log", log)
    return captured.entries


def has_answered(collector: Collector, times: int) -> bool:
    return collector.answers >= times


def names(collector: Collector) -> list[str]:
    return [each.name for each in collector.received]


def test_what_was_offered_is_sent_in_order_and_the_rest_at_the_end() -> None:
    with collecting() as collector:
        with exporting(collector.url) as exporter:
            for number in range(1000):
                exporter.offer(spans(str(number)))
        assert names(collector) == list(map(str, range(1000)))
        assert collector.answers < 20, "they are sent together"


def test_a_collector_that_is_away_is_told_once_and_gets_what_waited(logs: Logs) -> None:
    port = free_port()
    with exporting(f"http://127.0.0.1:{port}") as exporter:
        exporter.offer(spans("before"))
        eventually(lambda: logs)
        with collecting(port) as collector:
            exporter.offer(spans("after"))
            eventually(lambda: len(collector.received) == 2)
            eventually(lambda: len(logs) == 2)
            assert names(collector) == ["before", "after"]
    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("traces cannot be sent", "warning"),
        ("traces are sent again", "info"),
    ]
    assert logs[0]["reason"] == "ConnectError"
    assert "secret@" not in str(logs)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (500, b"", "it answers 500"),
        (404, b"not here", "it answers 404"),
        (302, b"", "it answers 302"),
        (200, b"<html>a page</html>", "it does not answer as a collector"),
        (200, b"\xff" * 10_000_000, "it does not answer as a collector"),
        (200, b"\x0a\x02\x08\x07", "it rejects 7 spans"),
    ],
)
def test_a_collector_that_talks_nonsense_is_told_once(
    logs: Logs, status: int, body: bytes, reason: str
) -> None:
    with collecting() as collector, exporting(collector.url) as exporter:
        collector.status, collector.body = status, body
        for asked in range(1, 4):
            exporter.offer(spans())
            eventually(partial(has_answered, collector, asked))
        collector.status, collector.body = 200, None
        exporter.offer(spans("sane"))
        eventually(lambda: len(logs) == 2)
        assert names(collector) == ["sane"]
    assert [line["event"] for line in logs] == ["traces cannot be sent", "traces are sent again"]
    assert logs[0]["reason"] == reason
    assert logs[1]["dropped"] == 3


@pytest.mark.parametrize("status", [429, 503])
def test_what_a_collector_has_no_time_for_is_sent_again(logs: Logs, status: int) -> None:
    with collecting() as collector, exporting(collector.url) as exporter:
        collector.status = status
        exporter.offer(spans("again"))
        eventually(lambda: collector.answers >= 3)
        collector.status = 200
        eventually(lambda: names(collector) == ["again"])
        eventually(lambda: len(logs) == 2)
    assert [line["event"] for line in logs] == ["traces cannot be sent", "traces are sent again"]


def test_while_a_collector_is_slow_what_waits_is_bounded_and_the_newest_stay(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter_module, "MAX_WAITING", 10)
    with collecting() as collector, exporting(collector.url) as exporter:
        collector.is_slow.set()
        exporter.offer(spans("held"))
        eventually(lambda: collector.paths)
        for number in range(30):
            exporter.offer(spans(str(number)))
        collector.is_slow.clear()
        eventually(lambda: len(collector.received) == 11)
        eventually(lambda: logs)
        assert names(collector) == ["held", *map(str, range(20, 30))]
    (line,) = logs
    assert (line["event"], line["dropped"]) == ("traces are dropped: more come than the collector takes", 20)


def test_the_end_does_not_wait_for_a_slow_collector(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter_module, "STOP_SECONDS", 0.2)
    with collecting() as collector:
        collector.is_slow.set()
        with exporting(collector.url) as exporter:
            exporter.offer(spans())
            eventually(lambda: collector.paths)
            exporter.offer(spans())
        assert not collector.answers
    assert [(line["event"], line["requests"]) for line in logs] == [("traces are not sent", 2)]


def test_one_that_cannot_be_told_takes_no_others_along(logs: Logs) -> None:
    def broken() -> list[Span]:
        raise KeyError("a bug")

    with collecting() as collector, exporting(collector.url) as exporter:
        for source in (broken, spans("good"), spans("\ud800"), spans("too")):
            exporter.offer(source)
        eventually(lambda: len(collector.received) == 2)
        assert names(collector) == ["good", "too"]
    errors = [line["event"] for line in logs if line["log_level"] == "error"]
    assert errors == ["a trace cannot be told, nor any like it"]


def test_without_certificates_there_are_no_traces_and_the_log_says_why(logs: Logs) -> None:
    with exporting("https://127.0.0.1:1", ca_file="/nowhere.pem") as exporter:
        eventually(lambda: logs)
        exporter.offer(spans())
    assert [line["event"] for line in logs] == ["traces have failed", "traces are not sent"]


def test_a_collector_is_believed_by_its_own_authority_only(logs: Logs, tmp_path: Path) -> None:
    certificate = self_signed(tmp_path / "collector.pem")
    with collecting(certificate=certificate) as collector:
        with exporting(collector.url) as exporter:
            exporter.offer(spans())
            eventually(lambda: logs)
        assert logs[0]["reason"] == "ConnectError"
        assert not collector.headers, "a secret went to a stranger"
        with exporting(collector.url, ca_file=str(certificate)) as exporter:
            exporter.offer(spans("believed"))
            eventually(lambda: names(collector) == ["believed"])


def self_signed(file: Path) -> Path:
    """A certificate for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "collector")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file.write_bytes(
        certificate.public_bytes(Encoding.PEM)
        + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return file

"""Every metric, and the blocks of the board that it is read from. docs/observability.md says more of each."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from proxy.metrics.board import Kind
from usage.entry import COUNTS

OTHER = "other"
"""The label of what has no name of its own: names are few, or known beforehand, whatever clients send."""
NONE = "none"

SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Bounds of buckets: how long answers take."""
OVERHEAD_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
HISTOGRAMS = {
    "llm_proxy_request_duration_seconds": SECONDS,
    "llm_proxy_first_byte_seconds": SECONDS,
    "llm_proxy_overhead_seconds": OVERHEAD_SECONDS,
}
"""In the order in which a block of LATENCIES has them: each has its buckets, the last without bound, and its
sum.
"""
MODEL_TOKENS = tuple(name.removesuffix("_tokens") for name in COUNTS if name.endswith("_tokens"))

REQUESTS = Kind("requests", ("family", "method", "status", "outcome"), ("requests",), most=2000)
ERRORS = Kind("errors", ("code",), ("errors",), most=100)
LIMITS = Kind("limits", ("limit",), ("hits",), most=20)
LATENCIES = Kind(
    "latencies",
    ("family",),
    tuple(f"{name}:{bound}" for name, bounds in HISTOGRAMS.items() for bound in (*bounds, "+Inf", "sum")),
    most=60,
)
USAGE = Kind("usage", ("project", "model"), (*MODEL_TOKENS, "cost_microusd"), most=1000)
TOTALS = Kind("totals", (), ("cpu_seconds", "lost_records"), most=1)
CAPTURES = Kind("captures", (), ("dropped",), most=1)
BREAKERS = Kind("breakers", ("upstream", "upstream_key"), ("state",), most=200, is_of_now=True)


class WorkerFacts(NamedTuple):
    """How a worker is: the values of its block."""

    number: float
    active_requests: float
    active_streams: float
    active_websockets: float
    spool_records: float
    spool_bytes: float
    memory_records: float
    ledger_lag_seconds: float
    database_up: float
    limits_store_up: float
    resident_memory_bytes: float
    open_files: float
    start_time_seconds: float


WORKER = Kind("worker", (), WorkerFacts._fields, most=1, is_of_now=True)


@dataclass(frozen=True, slots=True)
class Metric:
    name: str
    type: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            "llm_proxy_requests_total",
            "counter",
            "Requests that have ended, WebSockets and their turns too.",
            REQUESTS.labels,
        ),
        Metric(
            "llm_proxy_request_duration_seconds",
            "histogram",
            "Time from the head of a request to the end of its answer, of those that upstream has answered.",
            LATENCIES.labels,
        ),
        Metric(
            "llm_proxy_first_byte_seconds",
            "histogram",
            "Time from the head of a request to the first byte of its answer's body.",
            LATENCIES.labels,
        ),
        Metric(
            "llm_proxy_overhead_seconds",
            "histogram",
            "What the proxy has added to the time until the head of an answer goes out.",
            LATENCIES.labels,
        ),
        Metric("llm_proxy_errors_total", "counter", "Requests that ended with an error of ours.", ("code",)),
        Metric("llm_proxy_limits_hit_total", "counter", "Requests that a limit refused or cut.", ("limit",)),
        Metric(
            "llm_proxy_model_tokens_total",
            "counter",
            "Model tokens of requests, by kind; some kinds are part of others.",
            (*USAGE.labels, "kind"),
        ),
        Metric("llm_proxy_cost_usd_total", "counter", "Costs of requests in US dollars.", USAGE.labels),
        Metric(
            "llm_proxy_budget_thresholds_total",
            "counter",
            "Budgets of tokens and projects that have reached a share of their limit.",
            ("percent",),
        ),
        Metric("llm_proxy_active_requests", "gauge", "Admitted requests and turns that run."),
        Metric("llm_proxy_active_streams", "gauge", "Those of them that are streams."),
        Metric("llm_proxy_active_websockets", "gauge", "WebSockets that are open."),
        Metric(
            "llm_proxy_breaker_state",
            "gauge",
            "0: closed, 1: half-open, 2: open. The worst of all workers.",
            BREAKERS.labels,
        ),
        Metric("llm_proxy_spool_records", "gauge", "Finished requests on disk that wait for the database."),
        Metric("llm_proxy_spool_bytes", "gauge", "Size of the spool."),
        Metric("llm_proxy_spool_max_bytes", "gauge", "Size that the spool may have."),
        Metric(
            "llm_proxy_ledger_memory_records",
            "gauge",
            "Finished requests that wait in memory, for the spool cannot take them.",
        ),
        Metric("llm_proxy_ledger_lag_seconds", "gauge", "Age of the oldest record that is not written yet."),
        Metric(
            "llm_proxy_ledger_lost_records_total",
            "counter",
            "Finished requests that were dropped, for neither spool nor memory could take them.",
        ),
        Metric(
            "llm_proxy_captures_dropped_total",
            "counter",
            "Requests whose bodies were to be kept and were not, for want of room, or of a database.",
        ),
        Metric("llm_proxy_database_up", "gauge", "1: the database answers all workers. 0: it does not."),
        Metric("llm_proxy_limits_store_up", "gauge", "1: the store of limits answers all workers. 0: not."),
        Metric("llm_proxy_workers", "gauge", "Workers that live, those that end included."),
        Metric("llm_proxy_workers_expected", "gauge", "Workers that there should be."),
        Metric("llm_proxy_cpu_seconds_total", "counter", "Processor time of all workers."),
        Metric(
            "llm_proxy_worker_resident_memory_bytes", "gauge", "Memory of a worker's process.", ("worker",)
        ),
        Metric("llm_proxy_worker_open_files", "gauge", "Descriptors that a worker has open.", ("worker",)),
        Metric(
            "llm_proxy_worker_start_time_seconds",
            "gauge",
            "When a worker began, in seconds since the epoch.",
            ("worker",),
        ),
        Metric(
            "llm_proxy_build_info",
            "gauge",
            "1, with the version of the proxy and of Python as labels.",
            ("version", "python"),
        ),
    )
}

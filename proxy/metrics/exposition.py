"""The text of /metrics: sums in Prometheus's format."""

import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from llm_proxy_site.version import __version__
from proxy.metrics.catalogue import (
    CAPTURES,
    ERRORS,
    HISTOGRAMS,
    LATENCIES,
    LIMITS,
    METRICS,
    MODEL_TOKENS,
    REQUESTS,
    TOTALS,
    USAGE,
)
from proxy.metrics.sums import Labels, Sums

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
MICROUSD = 1_000_000


@dataclass(frozen=True, slots=True)
class Told:
    """What the database says."""

    projects: Mapping[str, str] = field(default_factory=dict)
    """Names by id: what it has said last, while it is away."""
    budget_thresholds: Mapping[int, int] = field(default_factory=dict)
    """How many were reached, by percent; none while it is away."""


def text(sums: Sums, told: Told, *, workers: int, spool_max_bytes: int) -> bytes:
    return generate_latest(
        _Families([*_counted(sums, told), *_of_now(sums, workers=workers, spool_max_bytes=spool_max_bytes)])
    )


class _Families(Collector):
    def __init__(self, families: list[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Family]:
        return self._families


def _counted(sums: Sums, told: Told) -> Iterator[Family]:
    yield _counter("llm_proxy_requests_total", _firsts(sums.of(REQUESTS)))
    yield from _histograms(sums)
    yield _counter("llm_proxy_errors_total", _firsts(sums.of(ERRORS)))
    yield _counter("llm_proxy_limits_hit_total", _firsts(sums.of(LIMITS)))
    yield from _usage(sums, told)
    yield _counter(
        "llm_proxy_budget_thresholds_total",
        {(str(percent),): count for percent, count in told.budget_thresholds.items()},
    )
    cpu_seconds, lost = sums.of(TOTALS).get((), [0.0, 0.0])
    yield _counter("llm_proxy_ledger_lost_records_total", {(): lost})
    yield _counter("llm_proxy_captures_dropped_total", {(): sums.of(CAPTURES).get((), [0.0])[0]})
    yield _counter("llm_proxy_cpu_seconds_total", {(): cpu_seconds})


def _histograms(sums: Sums) -> Iterator[Family]:
    begin = 0
    for name, bounds in HISTOGRAMS.items():
        family = HistogramMetricFamily(name, METRICS[name].help, labels=METRICS[name].labels)
        texts = [*map(str, bounds), "+Inf"]
        for labels, values in sums.of(LATENCIES).items():
            buckets = list(accumulate(values[begin : begin + len(texts)]))
            family.add_metric(
                labels, list(zip(texts, buckets, strict=True)), sum_value=values[begin + len(texts)]
            )
        begin += len(texts) + 1
        yield family


def _usage(sums: Sums, told: Told) -> Iterator[Family]:
    model_tokens: dict[Labels, float] = {}
    costs: dict[Labels, float] = {}
    for (project, model), values in sums.of(USAGE).items():
        labels = told.projects.get(project, project), model
        for kind, count in zip(MODEL_TOKENS, values, strict=False):
            if count:
                model_tokens[*labels, kind] = model_tokens.get((*labels, kind), 0) + count
        if values[-1]:
            costs[labels] = costs.get(labels, 0) + values[-1] / MICROUSD
    yield _counter("llm_proxy_model_tokens_total", model_tokens)
    yield _counter("llm_proxy_cost_usd_total", costs)


def _of_now(sums: Sums, *, workers: int, spool_max_bytes: int) -> Iterator[Family]:
    living = sums.workers
    yield _gauge("llm_proxy_active_requests", sum(worker.active_requests for worker in living))
    yield _gauge("llm_proxy_active_streams", sum(worker.active_streams for worker in living))
    yield _gauge("llm_proxy_active_websockets", sum(worker.active_websockets for worker in living))
    yield _gauges("llm_proxy_breaker_state", sums.breakers)
    yield _gauge("llm_proxy_spool_records", sum(worker.spool_records for worker in living))
    yield _gauge("llm_proxy_spool_bytes", max((worker.spool_bytes for worker in living), default=0))
    yield _gauge("llm_proxy_spool_max_bytes", spool_max_bytes)
    yield _gauge("llm_proxy_ledger_memory_records", sum(worker.memory_records for worker in living))
    yield _gauge(
        "llm_proxy_ledger_lag_seconds", max((worker.ledger_lag_seconds for worker in living), default=0)
    )
    yield _gauge("llm_proxy_database_up", min((worker.database_up for worker in living), default=0))
    yield _gauge("llm_proxy_limits_store_up", min((worker.limits_store_up for worker in living), default=0))
    yield _gauge("llm_proxy_workers", len(living))
    yield _gauge("llm_proxy_workers_expected", workers)
    for name in ("resident_memory_bytes", "open_files", "start_time_seconds"):
        # Of a worker that ends and its successor, the younger.
        by_number: dict[Labels, float] = {
            (f"{worker.number:.0f}",): getattr(worker, name)
            for worker in sorted(living, key=lambda worker: worker.start_time_seconds)
        }
        yield _gauges(f"llm_proxy_worker_{name}", by_number)
    yield _gauges("llm_proxy_build_info", {(__version__, platform.python_version()): 1})


def _firsts(values: Mapping[Labels, list[float]]) -> dict[Labels, float]:
    return {labels: each[0] for labels, each in values.items()}


def _counter(name: str, values: Mapping[Labels, float]) -> Family:
    family = CounterMetricFamily(name, METRICS[name].help, labels=METRICS[name].labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _gauge(name: str, value: float) -> Family:
    return _gauges(name, {(): value})


def _gauges(name: str, values: Mapping[Labels, float]) -> Family:
    family = GaugeMetricFamily(name, METRICS[name].help, labels=METRICS[name].labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family

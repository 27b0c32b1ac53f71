"""Measured cells, made up: only the figure that matters to a test is named in it."""

from dataclasses import replace

from llm_proxy_site.bench.measurement import Cell, Figures

TARGETS = ("upstream", "pass-through", "proxy", "limited")
FIGURES = Figures(
    requests_per_second=1000.0,
    p50_ms=2.0,
    p90_ms=4.0,
    p99_ms=8.0,
    p99_9_ms=9.0,
    max_ms=10.0,
    chunk_p50_ms=None,
    chunk_p99_ms=None,
    unanswered_percent=0.0,
    first_chunk_p50_ms=None,
    cpu_seconds_per_1000=0.5,
    rss_mb=64.0,
)


def cell(target: str, *rounds: dict[str, float], case: str = "json-1") -> Cell:
    return Cell(case, target, tuple(replace(FIGURES, **values) for values in rounds or ({},)))

"""Usage over a span as tiles and charts: of all that a person sees, of a project, or of a token.

Three queries, all of the rollups.
"""

from dataclasses import dataclass

from llm_proxy_site.control_room.charts import Chart, Series
from llm_proxy_site.control_room.figures import compact, percent, seconds, usd
from llm_proxy_site.control_room.spans import Shown
from usage import rollups
from usage.models import Measure
from usage.rollups import Latencies, Point, Scope
from usage.sums import NOTHING, Sums

MEDIAN, MOST = rollups.SHARES


@dataclass(frozen=True, slots=True)
class Tile:
    name: str
    value: str
    note: str
    is_bad: bool = False


@dataclass(frozen=True, slots=True)
class Summary:
    tiles: list[Tile]
    charts: list[tuple[str, Chart]]
    """Each with a name for the page."""


def summary(shown: Shown, scope: Scope) -> Summary:
    points = rollups.series(shown.span, scope)
    totals = NOTHING
    for point in points:
        totals = totals.plus(point.sums)
    tiles, charts = _tiles(totals), _charts(shown, points)
    if scope.token_id is None:  # how long answers took is not summed up by token
        tiles += _latency_tiles(rollups.latencies(shown.span, scope))
        charts.append(("latency", _latency_chart(shown, scope)))
    return Summary(tiles, charts)


def errors(sums: Sums) -> int:
    """What the client did not get as it should, but for what it gave up itself."""
    return (
        sums.refused
        + sums.upstream_failed
        + sums.upstream_cut
        + sums.cut
        + sums.interrupted
        + sums.upstream_errors
    )


def _tiles(totals: Sums) -> list[Tile]:
    failed = errors(totals)
    return [
        Tile("Requests", compact(totals.requests), f"{totals.client_closed:,} closed by their clients"),
        Tile(
            "Errors",
            compact(failed),
            f"{percent(failed, totals.requests)}; {totals.refused:,} refused here",
            is_bad=failed * 20 > totals.requests,
        ),
        Tile(
            "Model tokens",
            compact(totals.input_tokens + totals.output_tokens),
            f"{compact(totals.input_tokens)} in, {compact(totals.output_tokens)} out",
        ),
        Tile(
            "Cost",
            usd(totals.cost_microusd),
            f"{totals.unpriced:,} without a price" if totals.unpriced else "all requests have a price",
        ),
    ]


def _latency_tiles(latencies: Latencies) -> list[Tile]:
    taken, first = latencies.seconds[Measure.DURATION], latencies.seconds[Measure.FIRST_BYTE]
    return [
        Tile("Latency", seconds(taken[MEDIAN]), f"p50; p95 {seconds(taken[MOST])}"),
        Tile("First byte", seconds(first[MEDIAN]), f"p50; p95 {seconds(first[MOST])}"),
    ]


def _charts(shown: Shown, points: list[Point]) -> list[tuple[str, Chart]]:
    labels, sums = shown.labels, [point.sums for point in points]
    requests = [
        Series("well", "chart-first", [each.requests - errors(each) for each in sums]),
        Series("errors", "chart-bad", [errors(each) for each in sums]),
    ]
    tokens = [
        Series("input", "chart-first", [each.input_tokens for each in sums]),
        Series("output", "chart-second", [each.output_tokens for each in sums]),
    ]
    costs = [Series("US dollars", "chart-third", [each.cost_microusd for each in sums])]
    return [
        ("requests", Chart("Requests", labels, requests, compact)),
        ("tokens", Chart("Model tokens", labels, tokens, compact)),
        ("cost", Chart("Cost", labels, costs, usd)),
    ]


def _latency_chart(shown: Shown, scope: Scope) -> Chart:
    found = [latencies.seconds for _, latencies in rollups.latency_series(shown.span, scope)]
    series = [
        Series("p95", "chart-second", [each[Measure.DURATION][MOST] for each in found]),
        Series("p50", "chart-first", [each[Measure.DURATION][MEDIAN] for each in found]),
        Series("first byte p50", "chart-third", [each[Measure.FIRST_BYTE][MEDIAN] for each in found]),
    ]
    return Chart("Latency", shown.labels, series, seconds, is_stacked=False)

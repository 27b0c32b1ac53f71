import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_proxy_site.bench.measurement import Answer, compare, observe_closed, observe_open, percentile

from .cells import cell


def test_percentiles_go_by_nearest_rank() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert percentile(values, 50) == 50
    assert percentile(values, 99) == 99
    assert percentile([7.0], 99) == 7


@given(st.lists(st.floats(0, 1000), min_size=1), st.floats(0, 100))
def test_a_percentile_is_one_of_the_values(values: list[float], percent: float) -> None:
    assert percentile(values, percent) in values


def test_only_answers_completed_within_the_window_are_measured() -> None:
    warm_up, inside, too_late = Answer(0, 0.5, 0.9), Answer(0.9, 1.1, 1.2), Answer(2.8, 2.9, 3.1)

    observation = observe_closed([warm_up, inside, too_late], 1.0, 3.0, is_stream=True)

    assert observation.seen.requests_per_second == 0.5
    assert observation.seen.p50_ms == observation.seen.max_ms == pytest.approx(300)
    assert observation.seen.first_chunk_p50_ms == pytest.approx(200)
    assert observation.sent == 3


def test_of_an_open_loop_all_that_was_due_is_measured() -> None:
    early = Answer(0.9, 1.1, 1.1)
    late = Answer(2.9, 4.9, 4.9)
    never = Answer(1.0, 6.0, 6.0, is_complete=False)
    in_time = [Answer(1.1, 1.1, 1.2)] * 8

    observation = observe_open([early, late, never, *in_time], 1.0, 3.0, is_stream=False)

    assert observation.seen.requests_per_second == 4.5
    assert observation.seen.unanswered_percent == 10
    assert [observation.seen.p50_ms, observation.seen.p90_ms, observation.seen.p99_ms] == pytest.approx(
        [100, 2000, 5000]
    )
    assert observation.sent == 11


def test_first_chunks_are_told_of_streams_only() -> None:
    assert observe_closed([Answer(1, 2, 2)], 0, 2, is_stream=False).seen.first_chunk_p50_ms is None


def test_nothing_completed_is_not_a_measurement() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        observe_closed([Answer(0, 4, 5)], 1, 3, is_stream=False)


def test_figures_are_medians_over_rounds_one_by_one() -> None:
    figures = cell(
        "proxy", {"p50_ms": 3, "rss_mb": 1}, {"p50_ms": 9, "rss_mb": 2}, {"p50_ms": 4, "rss_mb": 9}
    ).figures

    assert figures.p50_ms == 4
    assert figures.rss_mb == 2
    assert figures.first_chunk_p50_ms is None


def test_a_comparison_is_between_medians_and_tells_the_range_of_its_rounds() -> None:
    ours = cell(
        "proxy",
        *(
            {"requests_per_second": rate, "p50_ms": 3.0, "cpu_seconds_per_1000": 1.0}
            for rate in (400.0, 500.0, 900.0)
        ),
    )
    base = cell("pass-through", {}, {}, {})

    comparison = compare(ours, base)

    assert comparison.requests_per_second_ratio == 0.5
    assert comparison.requests_per_second_ratio_range == (0.4, 0.9)
    assert comparison.added_p50_ms == 1
    assert comparison.added_p50_percent == 50
    assert comparison.added_first_chunk_p50_ms is None
    assert comparison.cpu_ratio == 2


def test_streams_are_compared_by_their_first_chunks_too() -> None:
    ours, base = cell("proxy", {"first_chunk_p50_ms": 1.5}), cell("pass-through", {"first_chunk_p50_ms": 1.0})
    assert compare(ours, base).added_first_chunk_p50_ms == 0.5


def test_paced_streams_are_compared_by_the_way_of_their_chunks() -> None:
    ours = cell("proxy", {"chunk_p50_ms": 1.5, "chunk_p99_ms": 9.0})
    base = cell("pass-through", {"chunk_p50_ms": 1.0, "chunk_p99_ms": 5.0})

    comparison = compare(ours, base)

    assert (comparison.added_chunk_p50_ms, comparison.added_chunk_p99_ms) == (0.5, 4)


def test_no_ratio_against_a_base_that_answered_nothing_in_time() -> None:
    never, once = {"requests_per_second": 0.0}, {"requests_per_second": 10.0}
    ours = cell("proxy", {}, {}, {})
    assert compare(ours, cell("pass-through", never, never, never)).requests_per_second_ratio is None
    comparison = compare(ours, cell("pass-through", never, once, once))
    assert comparison.requests_per_second_ratio == 100
    assert comparison.requests_per_second_ratio_range is None


def test_no_cpu_ratio_against_a_base_that_used_none() -> None:
    assert compare(cell("proxy"), cell("upstream", {"cpu_seconds_per_1000": 0})).cpu_ratio is None

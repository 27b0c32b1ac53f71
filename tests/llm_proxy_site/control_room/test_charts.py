"""Charts as geometry, and numbers as texts."""

from datetime import timedelta

import pytest

from llm_proxy_site.control_room.bars import badge, bar, used_bar
from llm_proxy_site.control_room.charts import Chart, Series
from llm_proxy_site.control_room.figures import compact, percent, remaining, seconds, usd

LABELS = ["a", "b", "c"]


def chart(*values: list[float | None], is_stacked: bool = True) -> Chart:
    series = [Series(f"s{number}", f"look-{number}", each) for number, each in enumerate(values)]
    return Chart("Title", LABELS, series, compact, is_stacked)


def test_parts_of_a_column_stand_on_each_other() -> None:
    *_, last = chart([0, 1, 3], [0, 0, 2]).columns
    assert [(part.y, part.height) for part in last.parts] == [(400, 600), (0, 400)]
    assert last.title == "c: 3 s0, 2 s1"


def test_nothing_has_no_parts_and_little_can_still_be_seen() -> None:
    first, second, _ = chart([0, 1, 100_000]).columns
    assert first.parts == []
    assert second.parts[0].height == 4


@pytest.mark.parametrize(("highest", "top"), [(0, 1), (7, 10), (1.2, 2), (20, 20), (2100, 5000)])
def test_the_upper_edge_is_a_round_number(highest: float, top: float) -> None:
    assert chart([0, highest, 0]).top == top


def test_a_line_is_interrupted_where_there_is_no_value() -> None:
    (line,) = chart([1, None, 1], is_stacked=False).lines
    assert line.path == "M6 0h88M206 0h88"  # as wide as a column: a dot would not be seen
    (line,) = chart([1, 0, None], is_stacked=False).lines
    assert line.path == "M50 0L150 1000"


def test_a_chart_can_be_read_as_a_table() -> None:
    drawn = chart([1, 2, None], [1000, 2, 3])
    assert drawn.rows == [("a", ["1", "1k"]), ("b", ["2", "2"]), ("c", ["-", "3"])]
    assert drawn.description == "s0 and s1, from a to c, at most 2k."


def test_figures_are_short() -> None:
    assert [compact(number) for number in (0, 9.44, 950, 1234, 5_600_000)] == [
        "0",
        "9.4",
        "950",
        "1.2k",
        "5.6M",
    ]
    assert [usd(each) for each in (0, 4_200, 12_300_000, 12_000_000_000)] == [
        "$0.00",
        "$0.0042",
        "$12.30",
        "$12k",
    ]
    assert [seconds(each) for each in (None, 0.34, 1.23, 600)] == ["-", "340 ms", "1.2 s", "10 min"]
    assert [percent(*each) for each in ((0, 0), (1, 30), (1, 2))] == ["0 %", "3.3 %", "50 %"]
    lives = (timedelta(seconds=-1), timedelta(minutes=90), timedelta(days=3, hours=4, minutes=5))
    assert [remaining(life) for life in lives] == ["0 min", "1 h 30 min", "3 d 4 h"]


def test_bars_are_bounded_and_warn() -> None:
    assert 'width="100"' in bar(250)
    assert 'width="0"' in bar(-5)
    assert [used_bar(used, 10).split('class="')[3].split('"')[0] for used in (7, 8, 10)] == [
        "chart-first",
        "chart-second",
        "chart-bad",
    ]


def test_a_badge_shows_its_text_as_it_is() -> None:
    assert badge("<b>", "good") == '<span class="badge good">&lt;b&gt;</span>'

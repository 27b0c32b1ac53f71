"""Where the time of a request went."""

import pytest

from usage.models import UsageRecord
from usage.timeline import parts, timeline


def record(duration: float, first_byte: float | None, processing: float | None = None) -> UsageRecord:
    return UsageRecord(
        duration_seconds=duration, first_byte_seconds=first_byte, upstream_processing_seconds=processing
    )


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        ((10, 4, 3), [1, 3, 6]),
        ((10, 4, None), [4, 0, 6]),
        ((10, 4, 99), [0, 4, 6]),  # what upstream says is not believed beyond what we saw
        ((10, 99, 3), [7, 3, 0]),
        ((10, None, 3), [10]),
        ((0, 0, None), [0, 0, 0]),
    ],
)
def test_parts_add_up_to_the_duration(
    times: tuple[float, float | None, float | None], seconds: list[float]
) -> None:
    assert [part.seconds for part in parts(record(*times))] == seconds


def test_bars_stand_one_after_the_other_and_nothing_has_none() -> None:
    html = timeline(record(10, 4, 4))
    assert '<rect class="chart-second" x="0" width="400" height="10"/>' in html
    assert '<rect class="chart-first" x="400" width="600" height="10"/>' in html
    assert "chart-third" not in html
    assert "the answer passes: 6 s" in html
    assert "<rect" not in timeline(record(0, 0))

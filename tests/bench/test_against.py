import json
from pathlib import Path

import msgspec
import pytest

from llm_proxy_site.bench import against, report
from llm_proxy_site.bench.measurement import Cell
from llm_proxy_site.bench.results import Results

from .cells import cell


def test_ratios_of_two_runs_are_compared_whatever_the_machines() -> None:
    then, now = _run([500.0, 510.0], speed=1000.0), _run([120.0, 150.0], speed=200.0)

    _, proxy, _, note = against.text(now, then).splitlines()

    assert proxy.split()[:6] == ["json-1", "proxy", "pass-through", "0.51", ">", "0.68*"]
    assert proxy.split()[6:9] == ["1.00", ">", "1.00"]
    assert note == against.NOTE


def test_what_overlaps_is_not_marked() -> None:
    then, now = _run([500.0, 700.0], speed=1000.0), _run([600.0, 800.0], speed=1000.0)
    assert "0.60 > 0.70 " in against.text(now, then)


def test_only_what_both_have_is_compared() -> None:
    other = [cell(one, case="json-32") for one in ("upstream", "pass-through", "proxy")]
    assert against.text(other, _run([1.0])) == "The earlier run has none of these cases."


def test_a_written_run_is_read_again(tmp_path: Path) -> None:
    cells = _run([1.0, 2.0])
    file = tmp_path / "earlier.json"
    file.write_text(json.dumps(report.facts(Results(cells), rounds=2)))

    assert against.read_cells(file) == cells


@pytest.mark.parametrize("content", ["", "{}", '{"cells": [{"case": "json-1"}]}'])
def test_another_file_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "earlier.json"
    file.write_text(content)

    with pytest.raises(ValueError, match="is no result of this benchmark"):
        against.read_cells(file)


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        ([cell("upstream"), cell("proxy")], r"is not whole: it has no cell of .*'pass-through'"),
        ([cell("upstream"), cell("pass-through", {}, {})], "have not all the same rounds"),
        ([Cell("json-1", "upstream", ())], "have not all the same rounds"),
    ],
)
def test_a_file_that_is_not_whole_is_refused(tmp_path: Path, cells: list[Cell], sentence: str) -> None:
    file = tmp_path / "earlier.json"
    described = [{"case": one.case, "target": one.target, "rounds": one.rounds} for one in cells]
    file.write_bytes(msgspec.json.encode({"cells": described}))
    with pytest.raises(ValueError, match=sentence):
        against.read_cells(file)


def _run(rates: list[float], *, speed: float = 1000.0) -> list[Cell]:
    """Of a proxy with such requests a second, on a machine with such a pass-through."""
    ours = cell("proxy", *({"requests_per_second": rate} for rate in rates))
    base = cell("pass-through", *({"requests_per_second": speed} for _ in rates))
    return [cell("upstream", *({} for _ in rates)), base, ours]

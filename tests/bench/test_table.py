import csv

from llm_proxy_site.bench.at_once import AtOnce
from llm_proxy_site.bench.results import Results
from llm_proxy_site.bench.table import csv_text

from .cells import cell


def test_every_figure_of_every_round_has_a_line() -> None:
    results = Results(
        [cell("proxy", {"p50_ms": 2.0}, {"p50_ms": 3.0})],
        {"proxy": [1.5]},
        {"proxy": [AtOnce(50, 50, 0.5, 1.25)]},
    )

    heads, *rows = csv.reader(csv_text(results).splitlines())

    assert heads == ["case", "target", "round", "figure", "value"]
    assert ["json-1", "proxy", "2", "p50_ms", "3.0"] in rows
    assert ["cold-start", "proxy", "1", "seconds", "1.5"] in rows
    assert ["streams-at-once", "proxy", "1", "chunk_p99_ms", "1.25"] in rows
    assert "first_chunk_p50_ms" not in {row[3] for row in rows}

import json

from llm_proxy_site.bench import report

from .cells import cell

CELLS = [
    cell("upstream", {"requests_per_second": 4000, "p50_ms": 1}),
    cell("pass-through", {"requests_per_second": 2000, "p50_ms": 2}),
    cell("proxy", {"requests_per_second": 1000, "p50_ms": 2.5, "cpu_seconds_per_1000": 0.75}),
    cell("limited", {"requests_per_second": 900}),
]


def test_the_text_has_a_line_for_each_cell_and_each_comparison() -> None:
    figures, ratios = report.text(CELLS).split("\n\n")

    assert figures.splitlines()[3].split() == ["json-1", "proxy", "1000", "2.50", "8.00", "-", "0.75", "64"]
    assert [line.split()[1:3] for line in ratios.splitlines()[1:]] == [
        ["proxy", "pass-through"],
        ["limited", "proxy"],
        ["pass-through", "upstream"],
    ]
    assert "x 0.50" in ratios.splitlines()[1]
    assert "+0.50 ms (+25 %)" in ratios.splitlines()[1]
    assert "x 1.50" in ratios.splitlines()[1]


def test_the_text_ends_with_what_streaming_costs() -> None:
    cells = [
        cell("upstream", case="stream-1"),
        cell("pass-through", {"first_chunk_p50_ms": 2.0}, case="stream-1"),
        cell("proxy", {"first_chunk_p50_ms": 2.75}, case="stream-1"),
        cell("limited", case="stream-1"),
        cell("upstream", case="paced-8"),
        cell("pass-through", {"cpu_seconds_per_1000": 8.0}, case="paced-8"),
        cell("proxy", {"cpu_seconds_per_1000": 9.0}, case="paced-8"),
        cell("limited", case="paced-8"),
    ]

    assert report.text(cells).splitlines()[-2:] == [
        "First chunk at one connection, over the pass-through: +0.75 ms (at most +1 ms)",
        "CPU per chunk of a paced stream, of the pass-through's: x 1.12 (at most x 1.3)",
    ]


def test_every_case_is_compared_within_itself() -> None:
    faster = [
        cell(target, {"requests_per_second": 9}, case="json-32")
        for target in ("upstream", "pass-through", "proxy", "limited")
    ]

    pairs = [
        (one.case, one.target, one.requests_per_second_ratio) for one in report.comparisons([*CELLS, *faster])
    ]

    assert pairs == [
        ("json-1", "proxy", 0.5),
        ("json-1", "limited", 0.9),
        ("json-1", "pass-through", 0.5),
        ("json-32", "proxy", 1),
        ("json-32", "limited", 1),
        ("json-32", "pass-through", 1),
    ]


def test_the_facts_are_json_with_every_round() -> None:
    facts = json.loads(json.dumps(report.facts(CELLS, rounds=1)))

    assert facts["rounds"] == 1
    assert [one["target"] for one in facts["cells"]] == ["upstream", "pass-through", "proxy", "limited"]
    assert facts["cells"][2]["rounds"] == [facts["cells"][2]["median"]]
    assert facts["comparisons"][0]["requests_per_second_ratio"] == 0.5

import json

from llm_proxy_site.bench import report
from llm_proxy_site.bench.at_once import AtOnce
from llm_proxy_site.bench.results import Results

from .cells import TARGETS, cell

CELLS = [
    cell("upstream", {"requests_per_second": 4000, "p50_ms": 1}),
    cell("pass-through", {"requests_per_second": 2000, "p50_ms": 2}),
    cell("proxy", {"requests_per_second": 1000, "p50_ms": 2.5, "cpu_seconds_per_1000": 0.75}),
    cell("limited", {"requests_per_second": 900}),
]

AT_ONCE = {
    "upstream": [AtOnce(50, 50, 0.5, 1.0), AtOnce(100, 100, 0.6, 2.0)],
    "proxy": [AtOnce(50, 50, 3.0, 130.0)],
}


def test_the_text_has_a_line_for_each_cell_and_each_comparison() -> None:
    figures, ratios = report.text(Results(CELLS)).split("\n\n")

    assert figures.splitlines()[3].split() == [
        "json-1",
        "proxy",
        "1000",
        "2.50",
        "8.00",
        *"---",
        "0.75",
        "64",
    ]
    assert [line.split()[1:3] for line in ratios.splitlines()[1:]] == [
        ["proxy", "pass-through"],
        ["limited", "proxy"],
        ["pass-through", "upstream"],
    ]
    assert "x 0.50" in ratios.splitlines()[1]
    assert "+0.50 ms (+25 %)" in ratios.splitlines()[1]
    assert "x 1.50" in ratios.splitlines()[1]


def test_what_answered_nothing_in_time_is_told_with_no_ratio() -> None:
    cells = [cell(name, {"requests_per_second": 0.0}, case="open-json-20") for name in TARGETS]
    ratios = report.text(Results(cells)).split("\n\n")[1]
    assert ratios.splitlines()[1].split()[:5] == ["open-json-20", "proxy", "pass-through", "-", "-"]


def test_a_second_server_is_compared_with_its_like_there_and_with_the_first() -> None:
    second = [cell(f"{name}@uvicorn") for name in ("pass-through", "proxy", "limited")]
    told = [(one.target, one.base) for one in report.comparisons([*CELLS, *second])]

    assert told[3:] == [
        ("pass-through@uvicorn", "upstream"),
        ("pass-through@uvicorn", "pass-through"),
        ("proxy@uvicorn", "pass-through@uvicorn"),
        ("proxy@uvicorn", "proxy"),
        ("limited@uvicorn", "proxy@uvicorn"),
        ("limited@uvicorn", "limited"),
    ]


def test_cases_on_a_schedule_have_a_table_of_their_own() -> None:
    waited = {"requests_per_second": 99.6, "unanswered_percent": 0.25}
    cells = [cell(target, waited, case="open-json-100") for target in TARGETS]

    figures, _ = report.text(Results(cells)).split("\n\n")

    assert figures.splitlines()[3].split() == [
        *("open-json-100", "proxy", "100"),
        *("2.00", "4.00", "8.00", "9.00", "10.00", "0.2", "0.50"),
    ]


def test_the_text_ends_with_what_streaming_costs() -> None:
    cells = [
        cell("upstream", case="paced-1"),
        cell("pass-through", {"first_chunk_p50_ms": 2.0}, case="paced-1"),
        cell("proxy", {"first_chunk_p50_ms": 2.75}, case="paced-1"),
        cell("limited", case="paced-1"),
        cell("upstream", case="paced-8"),
        cell("pass-through", {"cpu_seconds_per_1000": 5.2}, case="paced-8"),
        cell("proxy", {"cpu_seconds_per_1000": 8.5}, case="paced-8"),
        cell("limited", case="paced-8"),
        cell("upstream", case="paced-8-short"),
        cell("pass-through", {"cpu_seconds_per_1000": 0.7}, case="paced-8-short"),
        cell("proxy", {"cpu_seconds_per_1000": 3.1}, case="paced-8-short"),
        cell("limited", case="paced-8-short"),
    ]

    assert report.text(Results(cells)).splitlines()[-2:] == [
        "First chunk at one connection, over the pass-through: +0.75 ms (at most +1 ms)",
        "CPU per chunk of a paced stream: 60 us, 50 us of the pass-through: x 1.20 (at most x 1.3)",
    ]


def test_streams_at_once_are_told_up_to_the_first_that_are_not_served() -> None:
    heads, upstream, proxy = report.text(Results(at_once=AT_ONCE)).splitlines()

    assert heads.split()[-2:] == ["50", "100"]
    assert upstream.split() == ["upstream", "1.0", "2.0"]
    assert proxy.split() == ["proxy", "130.0", "(not", "served)", "-"]


def test_cold_starts_are_told_with_their_range() -> None:
    _, proxy = report.text(Results(cold_starts={"proxy": [2.5, 1.5, 1.75]})).splitlines()
    assert proxy.split() == ["proxy", "1.75", "(1.50-2.50)"]


def test_every_case_is_compared_within_itself() -> None:
    faster = [cell(target, {"requests_per_second": 9}, case="json-32") for target in TARGETS]

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
    facts = json.loads(json.dumps(report.facts(Results(CELLS, {"proxy": [1.5, 2.5]}, AT_ONCE), rounds=1)))

    assert facts["rounds"] == 1
    assert [one["target"] for one in facts["cells"]] == list(TARGETS)
    assert facts["cells"][2]["rounds"] == [facts["cells"][2]["median"]]
    assert facts["cold_starts"] == {"proxy": [1.5, 2.5]}
    assert facts["at_once"]["proxy"][0]["chunk_p99_ms"] == 130
    assert facts["comparisons"][0]["requests_per_second_ratio"] == 0.5

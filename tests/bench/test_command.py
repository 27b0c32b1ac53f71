import json
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from llm_proxy_site.bench import against, files, ledger_sizes, report
from llm_proxy_site.bench.asking import LoadFailedError
from llm_proxy_site.bench.cases import CASES
from llm_proxy_site.bench.ledger_sizes import Cost
from llm_proxy_site.bench.results import Results
from llm_proxy_site.bench.rounds import measure
from llm_proxy_site.bench.targets import Target, running_targets
from llm_proxy_site.management.commands import bench
from llm_proxy_site.processes import MANAGE
from tests.commands import run

from .cells import TARGETS, cell


def test_a_run_measures_its_cases_on_every_target(tmp_path: Path) -> None:
    output = tmp_path / "new-folder" / "result.json"
    earlier = tmp_path / "earlier.json"
    earlier.write_text(json.dumps(report.facts(Results([cell(name, case="json-32") for name in TARGETS]))))
    cases = ("json-32", "paced-1")
    only = [f"--only={name}" for name in (*cases, "cold-start", "streams-at-once")]

    done = subprocess.run(
        [
            *(sys.executable, str(MANAGE), "bench"),
            *("--seconds", "0.3", "--rounds", "1", "--streams", "5"),
            *("--output", str(output), "--against", str(earlier)),
            *only,
        ],
        capture_output=True,
        text=True,
        cwd=MANAGE.parent,
    )

    assert done.returncode == 0, done.stderr
    assert str(output) in done.stdout
    assert against.NOTE in done.stdout
    assert output.with_suffix(".csv").read_text().startswith("case,target,round,figure,value\njson-32,")
    assert output.with_suffix(".svg").read_text().startswith("<svg ")
    facts = json.loads(output.read_text())
    assert {(one["case"], one["target"]) for one in facts["cells"]} == {
        (case, target) for case in cases for target in TARGETS
    }
    assert all(one["median"]["requests_per_second"] > 0 for one in facts["cells"])
    assert len(facts["comparisons"]) == 3 * len(cases)
    assert facts["limits_us"] > 0
    assert facts["cold_starts"].keys() == {"pass-through", "proxy"}
    assert {name: [step["begun"] for step in steps] for name, steps in facts["at_once"].items()} == {
        name: [5] for name in ("upstream", "pass-through", "proxy")
    }
    assert {"cpus", "python", "libraries"} <= facts["machine"].keys()


def test_a_failing_target_fails_the_run(tmp_path: Path) -> None:
    with running_targets(tmp_path) as targets:
        (proxy,) = [target for target in targets if target.name == "proxy"]
        stranger = Target(proxy.name, proxy.base_url, "not-a-token", proxy.pid)
        with pytest.raises(LoadFailedError, match=r"json-1 on proxy failed\. .* answered 401"):
            measure([stranger], [CASES["json-1"]], rounds=1, seconds=0.2)


def test_an_earlier_run_that_cannot_be_read_is_refused_before_anything_is_measured() -> None:
    with pytest.raises(CommandError, match=r"Nothing can be compared: .*no-such"):
        call_command("bench", "--against", "no-such.json")


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "machine_facts", lambda: pytest.fail("it has begun"))
    (tmp_path / "text").write_text("")
    for place in ("/proc/x.json", str(tmp_path), str(tmp_path / "text" / "x.json")):
        with pytest.raises(CommandError, match=r" cannot be written: .+\.$"):
            call_command("bench", "--output", place)


def test_looking_whether_files_can_be_written_changes_none(tmp_path: Path) -> None:
    path = tmp_path / "new-folder" / "result.json"
    files.prepare(path)
    assert list(path.parent.iterdir()) == []
    path.write_text("{}")
    files.prepare(path)
    assert path.read_text() == "{}"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--seconds=0"],
        ["--seconds=soon"],
        ["--rounds=0"],
        ["--only=chess"],
        ["--output=x.csv"],  # which would be written over the JSON
        ["--output=x.svg"],
    ],
)
def test_senseless_options_are_refused(arguments: list[str]) -> None:
    with pytest.raises(CommandError, match="argument"):
        call_command("bench", *arguments)


def test_a_missing_psutil_is_said_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_proxy_site.management.commands.bench.find_spec", lambda name: None)
    with pytest.raises(CommandError, match="psutil is missing"):
        call_command("bench")


def test_ledger_is_measured_on_a_database_of_its_own() -> None:
    heads, *rows = run("bench", "--ledger", "300").splitlines()
    assert heads.split()[:2] == ["300", "ms"]
    costs = {row.split()[0]: row.split()[1:] for row in rows if row}
    assert {"batch_of_500", "token_lookup", "tally", "totals_30d", "page_requests_refused", "prune_200"} <= (
        costs.keys()
    )
    assert all(float(ms) > 0 for act in costs.values() for ms in act[:2])


def test_ledgers_are_compared_by_the_first_and_the_last() -> None:
    shown = ledger_sizes.text([10, 2000], {"look": [Cost(2.0, 1.0), Cost(5.0, 1.5)]})
    assert shown.split("\n")[1].split() == ["look", "2.0", "5.0", "1.0", "1.5", "x", "2.50", "x", "1.50"]


def test_a_database_without_a_ledger_is_refused() -> None:
    with pytest.raises(CommandError, match="is that of a --ledger"):
        call_command("bench", "--ledger=1", "--database=sqlite:///a", "--database=sqlite:///b")

import json
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from llm_proxy_site.bench.cases import CASES
from llm_proxy_site.bench.load import LoadFailedError
from llm_proxy_site.bench.rounds import measure
from llm_proxy_site.bench.targets import Target, running_targets
from llm_proxy_site.processes import MANAGE
from tests.commands import run


def test_a_run_measures_every_case_on_every_target(tmp_path: Path) -> None:
    output = tmp_path / "new-folder" / "result.json"

    done = subprocess.run(
        [sys.executable, str(MANAGE), "bench", "--seconds", "0.3", "--rounds", "1", "--output", str(output)],
        capture_output=True,
        text=True,
        cwd=MANAGE.parent,
    )

    assert done.returncode == 0, done.stderr
    assert str(output) in done.stdout
    facts = json.loads(output.read_text())
    assert {(one["case"], one["target"]) for one in facts["cells"]} == {
        (case, target) for case in CASES for target in ("upstream", "pass-through", "proxy", "limited")
    }
    assert all(one["median"]["requests_per_second"] > 0 for one in facts["cells"])
    assert len(facts["comparisons"]) == 3 * len(CASES)
    assert facts["limits_us"] > 0
    assert {"cpus", "python", "libraries"} <= facts["machine"].keys()


def test_a_failing_target_fails_the_run(tmp_path: Path) -> None:
    with running_targets(tmp_path) as targets:
        (proxy,) = [target for target in targets if target.name == "proxy"]
        stranger = Target(proxy.name, proxy.base_url, "not-a-token", proxy.pid)
        with pytest.raises(LoadFailedError, match=r"json-1 on proxy failed\. .* answered 401"):
            measure([stranger], [CASES["json-1"]], rounds=1, seconds=0.2)


@pytest.mark.parametrize("arguments", [["--seconds=0"], ["--seconds=soon"], ["--rounds=0"], ["--only=chess"]])
def test_senseless_options_are_refused(arguments: list[str]) -> None:
    with pytest.raises(CommandError, match="argument"):
        call_command("bench", *arguments)


def test_a_missing_psutil_is_said_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_proxy_site.management.commands.bench.find_spec", lambda name: None)
    with pytest.raises(CommandError, match="psutil is missing"):
        call_command("bench")


def test_ledger_is_measured_on_a_database_of_its_own() -> None:
    figures = json.loads(run("bench", "--ledger", "300"))
    assert figures["rows"] == 300
    assert figures["pruned_rows"] > 0
    assert {"batch_of_500", "token_lookup", "tally", "totals_30d"} <= figures.keys()

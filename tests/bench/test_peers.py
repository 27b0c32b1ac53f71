from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from llm_proxy_site.bench.peers import PEERS, installed
from llm_proxy_site.bench.plan import Plan
from llm_proxy_site.bench.targets import running_upstream, wait_for_answer
from llm_proxy_site.processes import ChildFailedError


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_that_is_installed_answers(name: str, tmp_path: Path) -> None:
    if not installed([name]):
        pytest.skip(f"{name} is not installed: {PEERS[name].how_to_install}")
    with running_upstream() as upstream, PEERS[name].server(upstream, tmp_path).start() as (target,):
        wait_for_answer(target)

    assert target.pid
    assert target.name == name


def test_a_peer_that_is_not_installed_is_named_and_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor is anything measured then that would take its place."""
    monkeypatch.setattr("llm_proxy_site.bench.peers.nginx._program", lambda: "/no/such/nginx")
    monkeypatch.setattr("llm_proxy_site.bench.run.run", _refuse)
    monkeypatch.setattr("signal.signal", lambda number, handler: None)

    with pytest.raises(CommandError, match="The benchmark could not start"):
        call_command("bench", "--peer=nginx")

    assert "Without nginx, which is not installed: nginx from" in capsys.readouterr().out


def _refuse(plan: Plan, say: object) -> None:
    assert plan.peers == []
    raise ChildFailedError("Not here.")

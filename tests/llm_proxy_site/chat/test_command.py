"""`chat` in a process of its own, against a real proxy: through pipes, and at a pseudo-terminal."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from llm_proxy_site.processes import MANAGE
from projects.money import usd_text
from tests.databases import own_database_url
from tests.factories import ProjectFactory, UpstreamKeyFactory, issue_token
from tests.live import LiveProxy, eventually
from tests.terminals import WITHIN_SECONDS, Terminal, at_terminal
from tokens.models import AccessToken
from usage.models import UsageRecord


def environment(live: LiveProxy, plain: str) -> dict[str, str]:
    return {
        "DATABASE_URL": own_database_url(),
        "OPENAI_API_KEY": plain,
        "OPENAI_BASE_URL": live.base_url,
    }


def piped(live: LiveProxy, plain: str, *lines: str, arguments: tuple[str, ...] = ()) -> Any:
    return subprocess.run(
        [sys.executable, str(MANAGE), "chat", *arguments],
        env={**os.environ, **environment(live, plain)},
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        text=True,
        timeout=WITHIN_SECONDS,
    )


def recorded(token: AccessToken, count: int) -> list[UsageRecord]:
    """So many, as soon as the ledger has them."""
    records = UsageRecord.objects.filter(token=token).order_by("id")
    return eventually(lambda: found if len(found := list(records.all())) == count else [])


@contextmanager
def terminal(live: LiveProxy, plain: str, *arguments: str) -> Iterator[Terminal]:
    with at_terminal("chat", *arguments, environment=environment(live, plain)) as screen:
        yield screen


def test_a_pipe_gets_answers_on_standard_output_and_nothing_else(live: LiveProxy) -> None:
    token, plain = issue_token()
    done = piped(live, plain, "Say three words.", "/model gpt-4o", "", "And again.")
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first
    assert second
    assert "The model is gpt-4o." in done.stderr
    assert done.stderr.count(" USD in all") == 2
    records = recorded(token, 2)
    assert [record.model for record in records] == ["gpt-4o-mini-2024-07-18", "gpt-4o-2024-08-06"]
    told = [line.split(";")[0] for line in done.stderr.splitlines() if " in, " in line]
    assert told == [f"{record.input_tokens} in, {record.output_tokens} out" for record in records]
    assert records[1].input_tokens > records[0].input_tokens  # it was sent what was said before


def test_costs_are_those_of_the_price_book(live: LiveProxy) -> None:
    token, plain = issue_token()
    done = piped(live, plain, "Hello")
    (record,) = recorded(token, 1)
    assert f"; {usd_text(record.cost_microusd)} USD" in done.stderr


def test_a_refusal_ends_a_pipe_with_an_error(live: LiveProxy) -> None:
    _, plain = issue_token(rules={"models": ["gpt-4o"]})
    done = piped(live, plain, "Hello", "Never asked")
    assert (done.returncode, done.stdout) == (1, "")
    assert "gpt-4o-mini" in done.stderr or "model" in done.stderr
    assert plain not in done.stderr


@pytest.mark.parametrize("plain", ["", "sk-upstream-0123456789", "sk-wt-wrong"])
def test_what_is_no_access_token_is_sent_nowhere(live: LiveProxy, plain: str) -> None:
    done = piped(live, plain, "Hello")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no access token" in done.stderr
    assert not plain or plain not in done.stderr


def test_a_person_talks_and_asks_for_help_and_leaves(live: LiveProxy) -> None:
    _, plain = issue_token()
    with terminal(live, plain, "--system", "Be brief.") as screen:
        assert "gpt-4o-mini at" in screen.wait_for("> ")
        screen.type("/help\n")
        assert "/reset" in screen.wait_for("> ")
        screen.type("/system\n")
        assert "Be brief." in screen.wait_for("> ")
        screen.type("/nonsense\n")
        assert "There is no command /nonsense" in screen.wait_for("> ")
        screen.type("Hello\n")
        assert " USD in all" in screen.wait_for("> ")
        screen.type("/quit\n")
        assert screen.process.wait(WITHIN_SECONDS) == 0


def test_the_token_is_asked_for_and_not_shown(live: LiveProxy) -> None:
    _, plain = issue_token()
    with terminal(live, "") as screen:
        screen.wait_for("Access token: ")
        screen.type(f"{plain}\n")
        assert plain not in screen.wait_for("> ")
        screen.type("Hello\n")
        assert " USD in all" in screen.wait_for("> ")
        screen.type("\x04")
        assert screen.process.wait(WITHIN_SECONDS) == 0


def test_ctrl_c_stops_the_answer_and_not_the_program(live: LiveProxy) -> None:
    key = "sk-upstream-slow-answers-0001"
    project = ProjectFactory.create(upstream_key=None)
    UpstreamKeyFactory.create(project=project, plain=key)
    live.fault_key(key, chunk_delay_ms="200", chunks="100")
    _, plain = issue_token(project=project, ttl=timedelta(hours=1))
    with terminal(live, plain) as screen:
        screen.wait_for("> ")
        screen.type("Hello\n")
        screen.wait_for("Hello\r\n")
        screen.wait_for(" ")  # of the answer
        os.kill(screen.process.pid, signal.SIGINT)
        screen.wait_for("Stopped.")
        screen.wait_for("> ")
        screen.wait_for("> ", interrupting=True)
        assert screen.leave("/quit\n") == 0

"""The commands that act on one token's life: rotate, extend, reactivate."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from audit.models import AuditEvent
from tests.commands import in_a_process, run, run_json
from tests.factories import AccessTokenFactory, ProjectFactory, issue_token, stored_text
from tokens.format import digest
from tokens.models import AccessToken

pytestmark = pytest.mark.django_db
PLAIN = re.compile(r"sk-wt-[0-9A-Za-z]{55}")
NO_TOKEN = "There is no such access token. `list_tokens` shows them all."
REVOKED: dict[str, Any] = {"is_active": False, "revoked_at": timezone.now()}


@pytest.fixture(autouse=True)
def _whoever_runs_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ada")


def last_event() -> tuple[str, str, str]:
    event = AuditEvent.objects.latest("id")
    return event.action, event.actor, event.subject_id


def test_rotate_token_prints_the_new_plain_text_and_when_the_old_one_ends() -> None:
    token, old = issue_token()
    printed = run("rotate_token", str(token.id), "--grace", "2h")
    stored = AccessToken.objects.get()
    (new,) = PLAIN.findall(printed)
    assert (stored.digest, stored.previous_digest) == (digest(new), digest(old))
    assert printed.splitlines() == [
        new,
        f"Shown this once; the plain text before it works until "
        f"{stored.previous_digest_dies_at.isoformat()}. Id: {token.id}",
    ]
    assert last_event() == ("token.rotated", "cli:ada", str(token.id))
    assert new not in stored_text()


def test_rotate_token_gives_an_hour_of_grace() -> None:
    token, _ = issue_token()
    before = timezone.now()
    facts = run_json("rotate_token", str(token.id))
    dies_at = parse_datetime(facts["previous_token_dies_at"])
    assert before + timedelta(hours=1) <= dies_at <= timezone.now() + timedelta(hours=1)
    assert AccessToken.objects.get().digest == digest(facts["token"])


def test_rotate_token_without_a_grace_says_that_the_old_one_is_refused() -> None:
    _, old = issue_token()
    printed = run("rotate_token", old, "--grace", "0s")
    assert "the plain text before it is refused from now on" in printed
    assert AccessToken.objects.get().previous_digest is None


def test_extend_token_moves_its_expiry() -> None:
    token = AccessTokenFactory.create(expires_at=timezone.now() - timedelta(days=1))
    printed = run("extend_token", str(token.id), "--ttl", "7d")
    stored = AccessToken.objects.get()
    assert stored.expires_at == pytest.approx(timezone.now() + timedelta(days=7), abs=timedelta(minutes=1))
    assert printed == f"Token {token.id} expires at {stored.expires_at.isoformat()}.\n"
    assert last_event() == ("token.extended", "cli:ada", str(token.id))


def test_extend_token_for_ever() -> None:
    token, plain = issue_token(project=ProjectFactory.create(permits_never=True))
    assert run("extend_token", plain, "--ttl", "never") == f"Token {token.id} never expires.\n"
    assert run_json("extend_token", plain, "--ttl", "never")["expires_at"] is None


def test_reactivate_token_lets_it_work_again() -> None:
    token, plain = issue_token(**REVOKED)
    printed = run("reactivate_token", plain)
    assert printed == f"Token {token.id} is reactivated; its state is active.\n"
    assert AccessToken.objects.get().is_active
    assert last_event() == ("token.reactivated", "cli:ada", str(token.id))


def test_reactivate_token_twice_is_no_error_and_no_change() -> None:
    token, _ = issue_token(**REVOKED)
    assert run_json("reactivate_token", str(token.id))["changed"] is True
    assert run_json("reactivate_token", str(token.id))["changed"] is False
    assert "was neither revoked nor deactivated" in run("reactivate_token", str(token.id))


@pytest.mark.parametrize(
    ("command", "fields", "problem"),
    [
        (["rotate_token"], REVOKED, "A token that is revoked cannot be rotated."),
        (["rotate_token", "--grace", "31d"], {}, "A grace is at least 0 and at most 30 days."),
        (["rotate_token", "--grace", "soon"], {}, "argument --grace: A period is a number and a unit"),
        (["extend_token", "--ttl", "7d"], REVOKED, "A token that is revoked cannot be extended."),
        (["extend_token", "--ttl", "30d"], {}, "The project alpha permits a lifetime of at most 7d."),
        (
            ["extend_token", "--ttl", "never"],
            {},
            "The project alpha does not permit tokens that never expire.",
        ),
        (["extend_token", "--ttl", "0d"], {}, "argument --ttl: A lifetime is at least 1 minute"),
        (["extend_token"], {}, "the following arguments are required: --ttl"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    command: list[str], fields: dict[str, Any], problem: str
) -> None:
    project = ProjectFactory.create(name="alpha", longest_ttl=timedelta(days=7))
    _, plain = issue_token(project=project, **fields)
    before = AccessToken.objects.values().get()
    with pytest.raises(CommandError, match=re.escape(problem)) as caught:
        run(command[0], plain, *command[1:])
    assert plain not in str(caught.value)
    assert AccessToken.objects.values().get() == before


@pytest.mark.parametrize("command", [["rotate_token"], ["extend_token", "--ttl=7d"], ["reactivate_token"]])
def test_unknown_token_is_refused_without_repeating_it(command: list[str]) -> None:
    with pytest.raises(CommandError) as caught:
        run(*command, "sk-wt-unknown")
    assert str(caught.value) == NO_TOKEN


@pytest.mark.django_db(transaction=True)
def test_process_rotates_the_token_that_is_pasted_and_prints_the_new_one_only() -> None:
    _, old = issue_token()
    done = in_a_process("rotate_token", old, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert AccessToken.objects.get().digest == digest(json.loads(done.stdout)["token"])
    assert old not in done.stdout


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("grace", "code"), [("31d", 1), ("soon", 2)])
def test_process_ends_with_1_for_what_is_refused_and_2_for_what_makes_no_sense(grace: str, code: int) -> None:
    _, old = issue_token()
    done = in_a_process("rotate_token", old, "--grace", grace)
    assert (done.returncode, done.stdout) == (code, "")
    assert "Traceback" not in done.stderr
    assert AccessToken.objects.get().digest == digest(old)

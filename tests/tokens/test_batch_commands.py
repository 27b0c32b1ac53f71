"""The commands that act on many tokens: create_tokens, revoke_tokens, cleanup_tokens."""

import csv
import json
import os
import re
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from audit.models import AuditEvent
from tests.commands import in_a_process, run, run_json
from tests.factories import AccessTokenFactory, ProjectFactory, UsageRecordFactory, stored_text
from tokens.format import digest
from tokens.models import AccessToken
from usage.models import UsageRecord

pytestmark = pytest.mark.django_db
PLAIN = re.compile(r"sk-wt-[0-9A-Za-z]{55}")
NOW = timezone.now()
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(autouse=True)
def _whoever_runs_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ada")


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(text)))


def test_create_tokens_prints_them_as_csv() -> None:
    project = ProjectFactory.create(name="alpha")
    printed = run(
        "create_tokens", "alpha", "--count", "3", "--name", "ci", "--ttl", "2h", "--daily-budget", "1"
    )
    assert printed.splitlines()[0] == "id,name,token,expires_at"
    assert len(printed.splitlines()) == 4
    for number, row in enumerate(rows(printed), start=1):
        token = AccessToken.objects.of(row["token"]).get()
        assert row["id"] == str(token.id)
        assert row["name"] == token.name == f"ci-{number}"
        assert row["expires_at"] == token.expires_at.isoformat()
        assert (token.project, token.ttl, token.daily_budget_microusd) == (project, 2 * HOUR, 1_000_000)


@pytest.mark.parametrize("form", [["--json"], ["--format", "json"]])
def test_create_tokens_gives_facts(form: list[str]) -> None:
    ProjectFactory.create(name="alpha")
    facts = json.loads(run("create_tokens", "alpha", "--count", "2", "--max-requests", "5", *form))
    assert {token["id"]: digest(token["token"]) for token in facts} == {
        str(token.id): token.digest for token in AccessToken.objects.all()
    }
    assert {(token["project"], token["state"], token["max_requests"]) for token in facts} == {
        ("alpha", "active", 5)
    }


def test_token_that_never_expires_has_no_expiry_in_csv() -> None:
    ProjectFactory.create(name="alpha", permits_never=True)
    assert rows(run("create_tokens", "alpha", "--count", "1", "--ttl", "never"))[0]["expires_at"] == ""


@pytest.mark.parametrize("name", ["=cmd()", "+1", "-1", "@x"])
def test_no_name_is_a_formula_to_a_spreadsheet(name: str) -> None:
    ProjectFactory.create(name="alpha")
    printed = run("create_tokens", "alpha", "--count=1", f"--name={name}")
    assert rows(printed)[0]["name"] == f"'{name}-1"
    assert AccessToken.objects.get().name == f"{name}-1"


def test_name_with_commas_and_quotes_is_one_cell() -> None:
    ProjectFactory.create(name="alpha")
    assert rows(run("create_tokens", "alpha", "--count", "1", "--name", 'a,"b"'))[0]["name"] == 'a,"b"-1'


def test_plain_texts_are_stored_nowhere_and_each_issue_is_audited() -> None:
    ProjectFactory.create(name="alpha")
    plains = PLAIN.findall(run("create_tokens", "alpha", "--count", "3"))
    stored = stored_text()
    assert all(digest(plain) in stored and plain not in stored for plain in plains)
    assert [(event.action, event.actor) for event in AuditEvent.objects.all()] == [
        ("token.issued", "cli:ada")
    ] * 3


@pytest.mark.parametrize("form", ["csv", "json"])
def test_file_is_for_its_owner_only_and_what_is_printed_says_where_it_is(tmp_path: Path, form: str) -> None:
    ProjectFactory.create(name="alpha")
    file = tmp_path / "tokens"
    umask = os.umask(0)
    try:
        printed = run("create_tokens", "alpha", "--count=2", f"--format={form}", f"--output={file}")
    finally:
        os.umask(umask)
    assert printed == f"Tokens issued: 2. Their plain texts are in {file}, and nowhere else.\n"
    assert file.stat().st_mode & 0o777 == 0o600
    text = file.read_text()
    tokens = rows(text) if form == "csv" else json.loads(text)
    assert {digest(token["token"]) for token in tokens} == {
        token.digest for token in AccessToken.objects.all()
    }


def test_file_that_exists_is_left_as_it_is(tmp_path: Path) -> None:
    ProjectFactory.create(name="alpha")
    file = tmp_path / "tokens.csv"
    file.write_text("mine")
    with pytest.raises(CommandError, match=re.escape(f"{file} cannot be written: File exists.")):
        run("create_tokens", "alpha", "--count", "2", "--output", str(file))
    assert file.read_text() == "mine"
    assert not AccessToken.objects.exists()


@pytest.mark.parametrize("arguments", [["beta"], ["alpha", "--ttl", "never"], ["alpha", "--name", "n" * 100]])
def test_no_file_is_left_when_no_tokens_are_issued(tmp_path: Path, arguments: list[str]) -> None:
    ProjectFactory.create(name="alpha")
    file = tmp_path / "tokens.csv"
    with pytest.raises(CommandError):
        run("create_tokens", *arguments, "--count", "2", "--output", str(file))
    assert not file.exists()


def test_no_tokens_are_issued_when_their_file_cannot_be_made(tmp_path: Path) -> None:
    ProjectFactory.create(name="alpha")
    file = tmp_path / "missing" / "tokens.csv"
    with pytest.raises(CommandError, match="No such file or directory"):
        run("create_tokens", "alpha", "--count", "2", "--output", str(file))
    assert not AccessToken.objects.exists()


def test_no_tokens_are_issued_when_their_file_cannot_be_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    ProjectFactory.create(name="alpha")
    file = tmp_path / "tokens.csv"
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CommandError, match="cannot be written: No space left on device"):
        run("create_tokens", "alpha", "--count", "2", "--output", str(file))
    assert not AccessToken.objects.exists()
    assert not file.exists()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["beta", "--count", "1"], "There is no project 'beta'."),
        (["off", "--count", "1"], "The project off is not active. `activate_project` switches it on."),
        (["alpha", "--count", "0"], "argument --count: must be a whole number above 0"),
        (["alpha", "--count", "10001"], "argument --count: must be at most 10000"),
        (["alpha"], "the following arguments are required: --count"),
        (["alpha", "--count", "1", "--format", "xml"], "argument --format: invalid choice: 'xml'"),
        (["alpha", "--count", "1", "--ttl", "never"], "does not permit tokens that never expire"),
    ],
)
def test_create_tokens_says_in_a_sentence_what_is_wrong(arguments: list[str], problem: str) -> None:
    ProjectFactory.create(name="alpha")
    ProjectFactory.create(name="off", is_active=False)
    with pytest.raises(CommandError, match=re.escape(problem)):
        run("create_tokens", *arguments)
    assert not AccessToken.objects.exists()


@pytest.fixture
def tokens() -> dict[str, AccessToken]:
    """By name: what a filter chooses among."""
    alpha, beta = ProjectFactory.create(name="alpha"), ProjectFactory.create(name="beta")
    made = [
        AccessTokenFactory.create(project=alpha, name="ci-old", created_at=NOW - 40 * DAY, last_used_at=NOW),
        AccessTokenFactory.create(project=alpha, name="ci-new"),
        AccessTokenFactory.create(project=beta, name="ci-beta", created_at=NOW - 40 * DAY),
        AccessTokenFactory.create(project=beta, name="laptop"),
        AccessTokenFactory.create(project=alpha, name="gone", is_active=False, revoked_at=NOW - DAY),
    ]
    return {token.name: token for token in made}


@pytest.mark.parametrize(
    ("filters", "chosen"),
    [
        (["--project", "alpha"], {"ci-old", "ci-new"}),
        (["--name", "ci-*"], {"ci-old", "ci-new", "ci-beta"}),
        (["--older-than", "30d"], {"ci-old", "ci-beta"}),
        (["--unused-for", "7d"], {"ci-beta"}),
        (["--project", "alpha", "--older-than", "30d"], {"ci-old"}),
        (["--name", "lap?op", "--unused-for", "0s"], {"laptop"}),
        (["--all"], {"ci-old", "ci-new", "ci-beta", "laptop"}),
        (["--name", "nobody"], set()),
    ],
)
def test_revoke_tokens_revokes_those_to_which_every_filter_applies(
    tokens: dict[str, AccessToken], filters: list[str], chosen: set[str]
) -> None:
    assert run("revoke_tokens", *filters, "--dry-run") == f"Tokens that would be revoked: {len(chosen)}.\n"
    assert not AuditEvent.objects.filter(action="token.revoked").exists()
    assert run("revoke_tokens", *filters) == f"Tokens that were revoked: {len(chosen)}.\n"
    revoked = AccessToken.objects.exclude(revoked_at=None).exclude(name="gone")
    assert {token.name for token in revoked} == chosen
    events = AuditEvent.objects.filter(action="token.revoked", actor="cli:ada")
    assert {event.subject_name for event in events} == chosen


def test_revoke_tokens_gives_facts(tokens: dict[str, AccessToken]) -> None:
    assert run_json("revoke_tokens", "--all", "--dry-run") == {"revoked": 4, "dry_run": True}
    assert run_json("revoke_tokens", "--all") == {"revoked": 4, "dry_run": False}
    assert run_json("revoke_tokens", "--all") == {"revoked": 0, "dry_run": False}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "Say which tokens: a filter at least, or --all."),
        (["--dry-run"], "Say which tokens: a filter at least, or --all."),
        (["--project", "gamma"], "There is no project 'gamma'."),
        (["--older-than", "soon"], "argument --older-than: A period is a number and a unit"),
        (["--unused-for", "999999999w"], "argument --unused-for: A period is at most 36500 days."),
    ],
)
def test_revoke_tokens_needs_to_know_which(
    tokens: dict[str, AccessToken], arguments: list[str], problem: str
) -> None:
    with pytest.raises(CommandError, match=re.escape(problem)):
        run("revoke_tokens", *arguments)
    assert AccessToken.objects.filter(revoked_at=None).count() == 4


@pytest.mark.django_db(transaction=True)
def test_process_that_is_told_to_revoke_no_one_in_particular_ends_with_2() -> None:
    AccessTokenFactory.create()
    done = in_a_process("revoke_tokens")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "CommandError: Say which tokens: a filter at least, or --all.\n"
    assert AccessToken.objects.get().revoked_at is None


@pytest.fixture
def mortals() -> dict[str, AccessToken]:
    made = [
        AccessTokenFactory.create(name="alive"),
        AccessTokenFactory.create(name="expired", expires_at=NOW - HOUR),
        AccessTokenFactory.create(name="idle", idle_ttl=HOUR, created_at=NOW - 2 * HOUR),
        AccessTokenFactory.create(name="expired long ago", expires_at=NOW - 31 * DAY),
        AccessTokenFactory.create(name="revoked long ago", is_active=False, revoked_at=NOW - 31 * DAY),
        AccessTokenFactory.create(name="revoked", is_active=False, revoked_at=NOW - DAY),
    ]
    return {token.name: token for token in made}


def states() -> dict[str, str]:
    return {token.name: token.state(NOW) + "/" * token.is_active for token in AccessToken.objects.all()}


def counts(*arguments: str) -> Any:
    facts = run_json("cleanup_tokens", *arguments)
    return facts["deactivated"], facts["deleted"], facts["long_dead"], facts["dry_run"]


def test_cleanup_deactivates_the_expired_and_deletes_nobody_unasked(mortals: dict[str, AccessToken]) -> None:
    assert counts("--dry-run") == (3, 0, 2, True)
    assert states()["expired"] == "expired/"
    assert counts() == (3, 0, 2, False)
    assert states() == {
        "alive": "active/",
        "expired": "expired",
        "idle": "idle",
        "expired long ago": "expired",
        "revoked long ago": "revoked",
        "revoked": "revoked",
    }


def test_cleanup_deletes_the_long_dead_and_keeps_their_ledger(mortals: dict[str, AccessToken]) -> None:
    record = UsageRecordFactory.create(token=mortals["expired long ago"])
    assert counts("--delete", "--dry-run") == (2, 2, 2, True)
    assert len(states()) == 6
    assert counts("--delete") == (2, 2, 2, False)
    assert states() == {"alive": "active/", "expired": "expired", "idle": "idle", "revoked": "revoked"}
    assert UsageRecord.objects.get().token_id == record.token_id
    actions = AuditEvent.objects.filter(actor="cli:ada").values_list("action", flat=True)
    assert sorted(actions) == ["token.deactivated"] * 2 + ["token.deleted"] * 2


def test_cleanup_deletes_those_dead_for_as_long_as_it_is_told(mortals: dict[str, AccessToken]) -> None:
    run("cleanup_tokens", "--delete", "--older-than", "12h")
    assert states().keys() == {"alive", "expired", "idle"}


def test_cleanup_says_what_it_did_and_what_it_could_do(mortals: dict[str, AccessToken]) -> None:
    assert run("cleanup_tokens") == (
        "Tokens that were deactivated: 3; deleted: 0. Long dead ones: 2; --delete deletes them.\n"
    )
    assert run("cleanup_tokens", "--delete") == "Tokens that were deactivated: 0; deleted: 2.\n"
    assert run("cleanup_tokens", "--delete", "--dry-run") == (
        "Tokens that would be deactivated: 0; deleted: 0.\n"
    )


def test_cleanup_refuses_an_age_that_is_none() -> None:
    with pytest.raises(CommandError, match="argument --older-than: A period is a number and a unit"):
        call_command("cleanup_tokens", "--older-than", "old")

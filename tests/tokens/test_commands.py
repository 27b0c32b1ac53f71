import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from audit.models import AuditEvent
from projects.limits import BUDGETS, LIMITS
from tests.commands import in_a_process, run, run_json
from tests.factories import AccessTokenFactory, ProjectFactory, issue_token, stored_text
from tokens.format import digest, generate
from tokens.models import AccessToken

pytestmark = pytest.mark.django_db
PLAIN = re.compile(r"sk-wt-[0-9A-Za-z]{55}")
NO_TOKEN = "There is no such access token. `list_tokens` shows them all."
UNLIMITED = {
    "max_requests": None,
    "max_requests_per_minute": None,
    "max_model_tokens_per_minute": None,
    "max_concurrent_requests": None,
    "total_budget_usd": None,
    "daily_budget_usd": None,
    "weekly_budget_usd": None,
    "monthly_budget_usd": None,
    "rules": None,
}
LIMIT_OPTIONS = {
    "--max-requests": "100",
    "--max-requests-per-minute": "60",
    "--max-model-tokens-per-minute": "9000",
    "--max-concurrent-requests": "4",
    "--total-budget": "12.5",
    "--daily-budget": "$1",
    "--weekly-budget": "0.50",
    "--monthly-budget": "3",
    "--rules": '{"models": ["gpt-4o*"]}',
}
NO_PROJECT = "There is no project 'beta'. `list_projects` shows them all."


@pytest.fixture(autouse=True)
def _whoever_runs_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ada")


def test_create_token_prints_the_plain_text_once() -> None:
    project = ProjectFactory.create(name="alpha")
    printed = run("create_token", "alpha", "--name", "laptop", "--ttl", "15m", "--max-requests", "5")
    token = AccessToken.objects.get()
    (plain,) = PLAIN.findall(printed)
    assert token.digest == digest(plain)
    assert (token.project, token.name, token.max_requests) == (project, "laptop", 5)
    assert token.expires_at is not None
    assert printed.splitlines() == [
        plain,
        f"Shown this once; expires at {token.expires_at.isoformat()}. Id: {token.id}",
    ]


def test_create_token_gives_facts_with_the_plain_text_once() -> None:
    project = ProjectFactory.create(name="alpha")
    facts = run_json("create_token", str(project.id), "--name", "laptop", "--max-requests", "5")
    token = AccessToken.objects.get()
    assert PLAIN.findall(json.dumps(facts)) == [facts["token"]]
    assert token.digest == digest(facts.pop("token"))
    assert token.expires_at is not None
    assert facts == {
        "id": str(token.id),
        "name": "laptop",
        "display": f"sk-wt-…{token.last_four}",
        "project_id": str(project.id),
        "project": "alpha",
        "state": "active",
        "ttl": "24h",
        "expires_at": token.expires_at.isoformat(),
        "idle_ttl": None,
        "idle_expires_at": None,
        "previous_token_dies_at": None,
        **UNLIMITED,
        "max_requests": 5,
        "request_count": 0,
        "created_at": token.created_at.isoformat(),
        "renewed_at": None,
        "last_used_at": None,
    }


def test_create_token_takes_limits_budgets_and_an_idle_lifetime() -> None:
    ProjectFactory.create(name="alpha")
    options = [word for option, value in LIMIT_OPTIONS.items() for word in (option, value)]
    facts = run_json("create_token", "alpha", "--idle-ttl", "7d", *options)
    token = AccessToken.objects.get()
    assert [getattr(token, field) for field in (*LIMITS, *BUDGETS)] == [
        100,
        60,
        9000,
        4,
        12_500_000,
        1_000_000,
        500_000,
        3_000_000,
    ]
    assert {name: facts[name] for name in UNLIMITED} == {
        "max_requests": 100,
        "max_requests_per_minute": 60,
        "max_model_tokens_per_minute": 9000,
        "max_concurrent_requests": 4,
        "total_budget_usd": "12.50",
        "daily_budget_usd": "1.00",
        "weekly_budget_usd": "0.50",
        "monthly_budget_usd": "3.00",
        "rules": {"models": ["gpt-4o*"]},
    }
    assert token.idle_ttl == timedelta(days=7)
    assert (facts["idle_ttl"], facts["idle_expires_at"]) == ("7d", token.idle_expires_at.isoformat())


def test_create_token_without_a_limit_says_none_or_nothing() -> None:
    ProjectFactory.create(name="alpha")
    facts = run_json("create_token", "alpha", "--idle-ttl", "never", "--daily-budget", "none")
    assert {name: facts[name] for name in UNLIMITED} == UNLIMITED
    assert facts["idle_ttl"] is None


def test_plain_text_is_stored_nowhere() -> None:
    ProjectFactory.create(name="alpha")
    plain = run_json("create_token", "alpha")["token"]
    assert digest(plain) in stored_text()
    assert plain not in stored_text()


@pytest.mark.parametrize(
    ("arguments", "ttl"),
    [
        ([], timedelta(hours=24)),
        (["--ttl", "15m"], timedelta(minutes=15)),
        (["--ttl=7d"], timedelta(days=7)),
    ],
)
def test_created_token_lives_as_long_as_asked(arguments: list[str], ttl: timedelta) -> None:
    ProjectFactory.create(name="alpha")
    before = timezone.now()
    expires_at = parse_datetime(run_json("create_token", "alpha", *arguments)["expires_at"])
    assert expires_at is not None
    assert before + ttl <= expires_at <= timezone.now() + ttl


def test_created_token_lives_as_its_project_says_by_default() -> None:
    ProjectFactory.create(name="alpha", default_ttl=timedelta(hours=3))
    assert run_json("create_token", "alpha")["ttl"] == "3h"


def test_created_token_may_never_expire() -> None:
    ProjectFactory.create(name="alpha", permits_never=True)
    printed = run("create_token", "alpha", "--ttl", "never")
    assert "Shown this once; never expires. Id: " in printed
    assert AccessToken.objects.get().expires_at is None


def test_create_token_is_audited_as_the_one_who_ran_it() -> None:
    ProjectFactory.create(name="alpha")
    run("create_token", "alpha")
    event = AuditEvent.objects.get()
    assert (event.action, event.actor) == ("token.issued", "cli:ada")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["beta"], NO_PROJECT),
        (["off"], "The project off is not active. `activate_project` switches it on."),
        (["alpha", "--ttl", "tomorrow"], "A lifetime is a number and a unit, such as 15m, 24h or 7d"),
        (["alpha", "--ttl", "10s"], "A lifetime is at least 1 minute and at most 365 days"),
        (["alpha", "--ttl", "366d"], "A lifetime is at least 1 minute and at most 365 days"),
        (["alpha", "--ttl", "never"], "The project alpha does not permit tokens that never expire."),
        (["alpha", "--ttl", "300d"], "The project alpha permits a lifetime of at most 7d."),
        (["alpha", "--idle-ttl", "10s"], "argument --idle-ttl: A lifetime is at least 1 minute"),
        (["alpha", "--total-budget", "0"], "argument --total-budget: An amount of US dollars is above 0"),
        (["alpha", "--daily-budget", "five"], "argument --daily-budget: An amount is a number of US dollars"),
        (["alpha", "--max-concurrent-requests", "0"], "argument --max-concurrent-requests: must be a whole"),
        (["alpha", "--max-requests", "0"], "argument --max-requests: must be a whole number above 0"),
        (["alpha", "--max-requests", "-1"], "argument --max-requests"),
        (["alpha", "--max-requests", "many"], "argument --max-requests: must be a whole number above 0"),
        (["alpha", "--max-requests", str(2**63)], "argument --max-requests: must be a whole number above 0"),
        (["alpha", "--name", "n" * 101], "name: Ensure this value has at most 100 characters (it has 101)."),
        (["alpha", "--colour", "red"], "unrecognized arguments: --colour red"),
        ([], "the following arguments are required: project"),
        pytest.param(
            ["alpha", "--max-requests", "²"],
            "must be a whole number above 0",
        ),
        pytest.param(
            ["alpha", "--ttl", "999999999w"],
            "A lifetime is at least 1 minute and at most 365 days",
        ),
    ],
)
def test_create_token_says_in_a_sentence_what_is_wrong(arguments: list[str], problem: str) -> None:
    ProjectFactory.create(name="alpha", longest_ttl=timedelta(days=7))
    ProjectFactory.create(name="off", is_active=False)
    with pytest.raises(CommandError, match=re.escape(problem)):
        run("create_token", *arguments)
    assert not AccessToken.objects.exists()


def test_list_tokens_shows_a_line_for_each_the_newest_first() -> None:
    project = ProjectFactory.create(name="alpha")
    expires_at = datetime(2099, 1, 2, 3, 4, 5, tzinfo=UTC)
    first = AccessTokenFactory.create(
        project=project,
        name="laptop",
        max_requests=5,
        request_count=2,
        expires_at=expires_at,
        max_requests_per_minute=60,
        max_concurrent_requests=2,
        daily_budget_microusd=12_500_000,
        rules={"models": ["gpt-4o"]},
    )
    second = AccessTokenFactory.create(project=project, is_active=False, expires_at=None)
    heading, *lines = run("list_tokens").splitlines()
    assert heading.split() == [
        "ID",
        "TOKEN",
        "NAME",
        "PROJECT",
        "STATE",
        "EXPIRES",
        "REQUESTS",
        "LIMITS",
        "RULES",
    ]
    assert [line.split() for line in lines] == [
        [str(second.id), second.display, "-", "alpha", "inactive", "never", "0/-", "-", "-"],
        [
            *(str(first.id), first.display, "laptop", "alpha", "active", "2099-01-02T03:04:05+00:00", "2/5"),
            *("60", "requests/min,", "2", "at", "once,", "12.50", "USD/day", "models"),
        ],
    ]
    assert len({line.index("alpha") for line in lines}) == 1


def test_list_tokens_gives_facts() -> None:
    used_at = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
    token = AccessTokenFactory.create(
        max_requests=2,
        request_count=2,
        expires_at=None,
        idle_ttl=timedelta(minutes=15),
        last_used_at=used_at,
    )
    assert run_json("list_tokens") == [
        {
            "id": str(token.id),
            "name": "",
            "display": token.display,
            "project_id": str(token.project_id),
            "project": token.project.name,
            "state": "exhausted",
            "ttl": "1h",
            "expires_at": None,
            "idle_ttl": "15m",
            "idle_expires_at": (token.created_at + timedelta(minutes=15)).isoformat(),
            "previous_token_dies_at": None,
            **UNLIMITED,
            "max_requests": 2,
            "request_count": 2,
            "created_at": token.created_at.isoformat(),
            "renewed_at": None,
            "last_used_at": "2025-01-02T03:04:05+00:00",
        }
    ]


def test_list_tokens_of_one_project_shows_no_others() -> None:
    token, _ = AccessTokenFactory.create(project=ProjectFactory.create(name="alpha")), issue_token()
    by_name = run_json("list_tokens", "--project", "alpha")
    by_id = run_json("list_tokens", "--project", str(token.project_id))
    assert [facts["id"] for facts in by_name] == [facts["id"] for facts in by_id] == [str(token.id)]


def test_list_tokens_of_an_unknown_project_is_refused() -> None:
    with pytest.raises(CommandError, match=re.escape(NO_PROJECT)):
        run("list_tokens", "--project", "beta")


def test_list_of_no_tokens_is_its_heading_only() -> None:
    assert len(run("list_tokens").splitlines()) == 1
    assert run_json("list_tokens") == []


def test_revoke_token_takes_the_id() -> None:
    token = AccessTokenFactory.create()
    assert run("revoke_token", str(token.id)) == f"Token {token.id} is revoked.\n"
    token.refresh_from_db()
    assert token.revoked_at is not None
    event = AuditEvent.objects.get(action="token.revoked")
    assert (event.actor, event.subject_id) == ("cli:ada", str(token.id))


@pytest.mark.parametrize("form", ["{}", "Bearer {}", ' "{}" '])
def test_revoke_token_takes_the_plain_text_and_does_not_repeat_it(form: str) -> None:
    token, plain = issue_token()
    printed = run("revoke_token", form.format(plain))
    token.refresh_from_db()
    assert token.revoked_at is not None
    assert printed == f"Token {token.id} is revoked.\n"


def test_revoke_token_gives_facts() -> None:
    token, plain = issue_token(name="laptop")
    facts = run_json("revoke_token", plain)
    assert (facts["id"], facts["name"], facts["state"]) == (str(token.id), "laptop", "revoked")
    assert facts["changed"] is True
    assert not PLAIN.search(json.dumps(facts))


def test_revoke_token_twice_is_no_error_and_no_change() -> None:
    token = AccessTokenFactory.create()
    run("revoke_token", str(token.id))
    assert run("revoke_token", str(token.id)) == f"Token {token.id} is revoked. It already was.\n"
    assert run_json("revoke_token", str(token.id))["changed"] is False
    assert AuditEvent.objects.filter(action="token.revoked").count() == 1


@pytest.mark.parametrize(
    "text",
    ["laptop", "", str(generate()[0]), generate()[1], generate()[1][:-1]],
    ids=["name", "nothing", "id", "token", "cut token"],
)
def test_revoke_token_of_an_unknown_one_is_refused_without_repeating_it(text: str) -> None:
    AccessTokenFactory.create(name="laptop")
    with pytest.raises(CommandError) as caught:
        run("revoke_token", text)
    assert str(caught.value) == NO_TOKEN
    assert AccessToken.objects.filter(revoked_at=None).count() == 1


def test_no_command_but_those_that_make_one_prints_a_plain_text() -> None:
    token, plain = issue_token(name="laptop")
    secret = plain[28:55]
    commands = (
        ["list_tokens"],
        ["extend_token", plain, "--ttl", "2h"],
        ["revoke_token", plain],
        ["revoke_token", str(token.id)],
        ["reactivate_token", plain],
    )
    printed = [run(*command, *form) for command in commands for form in ([], ["--json"])]
    assert all("laptop" in text or str(token.id) in text for text in printed)
    assert not any(secret in text or token.digest in text for text in printed)


@pytest.mark.django_db(transaction=True)
def test_process_that_did_it_ends_with_0_and_prints_json_only() -> None:
    ProjectFactory.create(name="alpha")
    done = in_a_process("create_token", "alpha", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert AccessToken.objects.get().digest == digest(json.loads(done.stdout)["token"])


@pytest.mark.django_db(transaction=True)
def test_process_that_could_not_do_it_ends_with_1_and_a_sentence() -> None:
    done = in_a_process("create_token", "beta")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"CommandError: {NO_PROJECT}\n"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["create_token", "alpha", "--ttl", "tomorrow"], "argument --ttl: A lifetime is a number and a unit"),
        (["revoke_token"], "the following arguments are required: ID|TOKEN"),
    ],
)
def test_process_whose_command_line_makes_no_sense_ends_with_2(arguments: list[str], problem: str) -> None:
    ProjectFactory.create(name="alpha")
    done = in_a_process(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert problem in done.stderr
    assert "Traceback" not in done.stderr
    assert not AccessToken.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_process_revokes_the_token_that_is_pasted_and_does_not_repeat_it() -> None:
    token, plain = issue_token()
    done = in_a_process("revoke_token", plain)
    token.refresh_from_db()
    assert done.returncode == 0
    assert token.revoked_at is not None
    assert plain not in done.stdout + done.stderr


def test_name_that_is_not_utf_8_is_refused_in_a_sentence() -> None:
    ProjectFactory.create(name="alpha")
    with pytest.raises(CommandError, match="not valid UTF-8"):
        call_command("create_token", "alpha", "--name", "\udcff")

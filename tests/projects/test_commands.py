import json
import re
import sys
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management.base import CommandError

from audit.models import AuditEvent
from projects.lifecycle import update_project
from projects.models import Project, UpstreamKey
from tests.commands import in_a_process, run, run_json
from tests.factories import UPSTREAM_KEY, ProjectFactory, UpstreamKeyFactory, stored_text

pytestmark = pytest.mark.django_db
RULES = [
    "--base-url=http://upstream.test/v1/",
    *("--upstream-organization=org-1", "--upstream-project=proj_2", "--permit-leading-past-us=yes"),
    *("--default-ttl=12h", "--longest-ttl=7d", "--permit-never=yes", "--permit-renewal=yes"),
    *("--when-disconnected=drain", "--drain-seconds=120"),
    *("--when-dead=finish", "--unpriced=flat", "--flat-price=0.01"),
    *("--max-requests=100", "--max-requests-per-minute=60", "--max-model-tokens-per-minute=9000"),
    *("--max-concurrent-requests=4", "--total-budget=12.5", "--daily-budget=$1", "--weekly-budget=0.5"),
    *("--capture-policy=failures", "--capture-sample=0.5", "--capture-max-bytes=2048"),
    "--capture-retention=12h",
    *("--capture-redacted=messages[].content, user", "--capture-redacts-addresses=no"),
    *("--monthly-budget=3", '--rules={"models": ["gpt-4o*"], "networks": ["10.0.0.0/8"]}'),
]
RULES_AS_FACTS = {
    "base_url": "http://upstream.test/v1",
    "upstream_organization": "org-1",
    "upstream_project": "proj_2",
    "permits_leading_past_us": True,
    "default_ttl": "12h",
    "longest_ttl": "7d",
    "permits_never": True,
    "permits_renewal": True,
    "death_policy": "finish",
    "disconnect_policy": "drain",
    "drain_seconds": 120,
    "unpriced_policy": "flat",
    "flat_price_usd": "0.01",
    "max_requests": 100,
    "max_requests_per_minute": 60,
    "max_model_tokens_per_minute": 9000,
    "max_concurrent_requests": 4,
    "total_budget_usd": "12.50",
    "daily_budget_usd": "1.00",
    "weekly_budget_usd": "0.50",
    "monthly_budget_usd": "3.00",
    "rules": {"models": ["gpt-4o*"], "networks": ["10.0.0.0/8"]},
    "capture_policy": "failures",
    "capture_sample": 0.5,
    "capture_max_bytes": 2048,
    "capture_retention": "12h",
    "capture_redacted": ["messages[].content", "user"],
    "capture_redacts_addresses": False,
}
CLEARED = [
    *("--permit-leading-past-us=no", "--permit-never=no", "--permit-renewal=no", "--when-dead=cut"),
    *("--unpriced=allow", "--when-disconnected=cancel", "--drain-seconds=60", "--capture-policy=off"),
    *("--capture-sample=1", "--capture-max-bytes=65536", "--capture-retention=7d"),
    *("--capture-redacted=none", "--capture-redacts-addresses=yes"),
] + [
    f"{option.split('=')[0]}=none"
    for option in RULES
    if not option.startswith(("--permit", "--when", "--drain", "--unpriced", "--capture"))
]
NO_RULES = dict.fromkeys(RULES_AS_FACTS) | {
    "permits_leading_past_us": False,
    "permits_never": False,
    "permits_renewal": False,
    "death_policy": "cut",
    "disconnect_policy": "cancel",
    "drain_seconds": 60,
    "unpriced_policy": "allow",
    "capture_policy": "off",
    "capture_sample": 1.0,
    "capture_max_bytes": 65536,
    "capture_retention": "7d",
    "capture_redacted": [],
    "capture_redacts_addresses": True,
}
BAD_KEY = "An upstream key is 8 to 512 printable ASCII characters, without spaces."
NO_PROJECT = "There is no project 'beta'. `list_projects` shows them all."


@pytest.fixture(autouse=True)
def _whoever_runs_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ada")


def test_create_project_prints_its_name_and_id() -> None:
    printed = run("create_project", "alpha", "--upstream-key", UPSTREAM_KEY)
    project = Project.objects.get()
    assert printed == f"Project alpha ({project.id})\n"
    assert (project.name, project.base_url, project.is_active) == ("alpha", "", True)
    assert project.upstream_keys.get().reveal() == UPSTREAM_KEY


def test_create_project_gives_facts() -> None:
    facts = run_json(
        "create_project", "alpha", f"--upstream-key={UPSTREAM_KEY}", "--base-url", "http://upstream.test/v1/"
    )
    project = Project.objects.get()
    assert facts == {
        "id": str(project.id),
        "name": "alpha",
        "provider": None,
        "is_active": True,
        "upstream_keys": ["…WXYZ"],
        **NO_RULES,
        "base_url": "http://upstream.test/v1",
        "created_at": project.created_at.isoformat(),
    }


def test_create_project_takes_its_policy_limits_and_budgets() -> None:
    facts = run_json("create_project", "alpha", "--upstream-key", UPSTREAM_KEY, *RULES)
    assert {name: facts[name] for name in NO_RULES} == RULES_AS_FACTS
    assert Project.objects.get().longest_ttl == timedelta(days=7)


@pytest.mark.parametrize("line", [UPSTREAM_KEY, f"{UPSTREAM_KEY}\n", f"  {UPSTREAM_KEY}\r\nmore\n"])
def test_create_project_reads_the_key_from_standard_input(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO(line))
    printed = run("create_project", "alpha", "--upstream-key", "-")
    assert UpstreamKey.objects.get().reveal() == UPSTREAM_KEY
    assert UPSTREAM_KEY not in printed


def test_create_project_is_audited_as_the_one_who_ran_it() -> None:
    run("create_project", "alpha", "--upstream-key", UPSTREAM_KEY)
    events = AuditEvent.objects.order_by("id").values_list("action", "actor")
    assert list(events) == [("project.created", "cli:ada"), ("upstream_key.added", "cli:ada")]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["alpha", "--upstream-key", UPSTREAM_KEY], "name: Project with this Name already exists."),
        (["", "--upstream-key", UPSTREAM_KEY], "name: This field cannot be blank."),
        (["beta", "--upstream-key", UPSTREAM_KEY, "--base-url", "nowhere"], "base_url: Enter a valid URL."),
        (["beta", "--upstream-key", "short"], BAD_KEY),
        (["beta", "--upstream-key", "two words"], BAD_KEY),
        (["beta", "--upstream-key", ""], BAD_KEY),
        (["beta"], "the following arguments are required: --upstream-key"),
        (["--upstream-key", UPSTREAM_KEY], "the following arguments are required: name"),
    ],
)
def test_create_project_says_in_a_sentence_what_is_wrong(arguments: list[str], problem: str) -> None:
    ProjectFactory.create(name="alpha")
    with pytest.raises(CommandError, match=re.escape(problem)) as caught:
        run("create_project", *arguments)
    assert not any(key in str(caught.value) for key in (UPSTREAM_KEY, "short", "two words"))
    assert Project.objects.count() == UpstreamKey.objects.count() == 1


def test_create_project_needs_a_key_on_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO(""))
    with pytest.raises(CommandError, match=re.escape(BAD_KEY)):
        run("create_project", "alpha", "--upstream-key", "-")
    assert not Project.objects.exists()


def test_list_projects_shows_a_line_for_each_by_name() -> None:
    beta = ProjectFactory.create(name="beta", is_active=False, upstream_key=None)
    alpha = ProjectFactory.create(name="alpha", base_url="http://upstream.test/v1")
    UpstreamKeyFactory.create(project=alpha, plain="sk-upstream-second")
    UpstreamKeyFactory.create(project=alpha, plain="sk-upstream-switched-off", is_active=False)
    update_project(
        beta,
        longest_ttl=timedelta(days=7),
        max_requests=9,
        daily_budget_microusd=1,
        rules={"models": [], "networks": ["::1"], "shadow": ["models"]},
        actor="cli:ada",
    )
    update_project(alpha, default_ttl=timedelta(hours=3), permits_never=True, actor="cli:ada")
    heading, *lines = run("list_projects").splitlines()
    assert heading.split() == ["ID", "NAME", "STATE", "KEYS", "UPSTREAM", "LIFETIMES", "LIMITS", "RULES"]
    assert [line.split() for line in lines] == [
        [
            str(alpha.id),
            "alpha",
            "active",
            "…WXYZ",
            "…cond",
            "http://upstream.test/v1",
            "3h..never",
            "-",
            "-",
        ],
        [
            *(str(beta.id), "beta", "inactive", "-", "default", "default..7d"),
            *("9", "requests,", "0.000001", "USD/day", "models", "networks"),
        ],
    ]


def test_list_projects_gives_facts() -> None:
    project = ProjectFactory.create(is_active=False)
    assert run_json("list_projects") == [
        {
            "id": str(project.id),
            "name": project.name,
            "provider": None,
            "is_active": False,
            "upstream_keys": ["…WXYZ"],
            **NO_RULES,
            "created_at": project.created_at.isoformat(),
        }
    ]


def test_list_of_no_projects_is_its_heading_only() -> None:
    assert len(run("list_projects").splitlines()) == 1
    assert run_json("list_projects") == []


def test_update_project_changes_what_is_named() -> None:
    project = ProjectFactory.create(name="alpha", max_requests=5)
    assert run("update_project", "alpha", "--longest-ttl", "7d") == "Project alpha is changed.\n"
    project.refresh_from_db()
    assert (project.longest_ttl, project.max_requests) == (timedelta(days=7), 5)
    event = AuditEvent.objects.get()
    assert (event.action, event.actor) == ("project.changed", "cli:ada")
    assert event.details == {"longest_ttl": {"before": None, "after": "7d"}}


def test_update_project_sets_and_clears_every_rule() -> None:
    project = ProjectFactory.create(name="alpha")
    facts = run_json("update_project", str(project.id), *RULES)
    assert {name: facts[name] for name in NO_RULES} == RULES_AS_FACTS
    cleared = run_json("update_project", "alpha", *CLEARED)
    assert {name: cleared[name] for name in NO_RULES} == NO_RULES
    assert (facts["changed"], cleared["changed"]) == (True, True)


def test_update_project_to_what_it_is_changes_nothing() -> None:
    ProjectFactory.create(name="alpha")
    assert run("update_project", "alpha", "--permit-never=no") == "Project alpha is as it already was.\n"
    assert run_json("update_project", "alpha", "--permit-never=no")["changed"] is False
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["alpha"], "Say what to change: an option at least."),
        (["beta", "--permit-never", "yes"], NO_PROJECT),
        (["alpha", "--base-url", "nowhere"], "base_url: Enter a valid URL."),
        (
            ["alpha", "--base-url", "https://ada:secret@upstream.test/v1"],
            "base_url: A base URL has no user name",
        ),
        (["alpha", "--default-ttl", "8d"], "default_ttl: It is longer than the longest lifetime, 7d."),
        (
            ["alpha", "--default-ttl", "never"],
            "argument --default-ttl: must end; --permit-never says whether",
        ),
        (["alpha", "--longest-ttl", "366d"], "argument --longest-ttl: A lifetime is at least 1 minute"),
        (["alpha", "--permit-never", "maybe"], "argument --permit-never: must be yes or no"),
        (["alpha", "--when-dead", "linger"], "argument --when-dead: invalid choice: 'linger'"),
        (["alpha", "--unpriced", "flat"], "flat_price_microusd: Charging a flat price needs one."),
        (["alpha", "--flat-price", "0"], "argument --flat-price: An amount of US dollars is above 0"),
        (["alpha", "--daily-budget", "1,5"], "argument --daily-budget: An amount is a number of US dollars"),
        (["alpha", "--max-requests", "0"], "argument --max-requests: must be a whole number above 0"),
        (["alpha", "--rules", '{"model": []}'], "argument --rules: Object contains unknown field `model`."),
        (
            ["alpha", "--rules", '{"models": [], "models": []}'],
            "argument --rules: models: it is there twice.",
        ),
        (
            ["alpha", "--rules", "/nowhere.json"],
            "argument --rules: /nowhere.json cannot be read: No such file",
        ),
    ],
)
def test_update_project_says_in_a_sentence_what_is_wrong(arguments: list[str], problem: str) -> None:
    ProjectFactory.create(name="alpha", longest_ttl=timedelta(days=7))
    with pytest.raises(CommandError, match=re.escape(problem)):
        run("update_project", *arguments)
    assert not AuditEvent.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("options", [[], ["--daily-budget", "five"]])
def test_process_that_is_told_nothing_or_nonsense_ends_with_2(options: list[str]) -> None:
    ProjectFactory.create(name="alpha")
    done = in_a_process("update_project", "alpha", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_deactivate_project_switches_it_off() -> None:
    ProjectFactory.create(name="alpha")
    assert run("deactivate_project", "alpha") == "Project alpha is inactive.\n"
    project = Project.objects.get()
    assert not project.is_active
    assert project.deactivated_at is not None
    event = AuditEvent.objects.get()
    assert (event.action, event.actor) == ("project.deactivated", "cli:ada")


def test_activate_project_switches_it_on() -> None:
    project = ProjectFactory.create(name="alpha", is_active=False)
    assert run("activate_project", str(project.id)) == "Project alpha is active.\n"
    project.refresh_from_db()
    assert (project.is_active, project.deactivated_at) == (True, None)
    event = AuditEvent.objects.get()
    assert (event.action, event.actor) == ("project.activated", "cli:ada")


@pytest.mark.parametrize(
    ("command", "active", "text"),
    [("activate_project", True, "active"), ("deactivate_project", False, "inactive")],
)
def test_switching_a_project_to_what_it_is_changes_nothing(command: str, active: bool, text: str) -> None:
    ProjectFactory.create(name="alpha", is_active=active)
    assert run(command, "alpha") == f"Project alpha is {text}. It already was.\n"
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize(("command", "active"), [("activate_project", True), ("deactivate_project", False)])
def test_switching_a_project_gives_facts(command: str, active: bool) -> None:
    project = ProjectFactory.create(name="alpha", is_active=not active)
    facts = run_json(command, "alpha")
    assert (facts["id"], facts["is_active"], facts["changed"]) == (str(project.id), active, True)
    assert run_json(command, "alpha")["changed"] is False


@pytest.mark.parametrize("command", ["activate_project", "deactivate_project"])
def test_switching_an_unknown_project_is_refused(command: str) -> None:
    ProjectFactory.create(name="alpha")
    with pytest.raises(CommandError) as caught:
        run(command, "beta")
    assert str(caught.value) == NO_PROJECT


def test_project_named_like_the_id_of_another_does_not_stand_in_for_it() -> None:
    project = ProjectFactory.create(name="zeta")
    impostor = ProjectFactory.create(name=str(project.id))
    assert impostor.name < project.name
    assert run_json("deactivate_project", str(project.id))["name"] == "zeta"


def test_no_command_prints_or_stores_the_upstream_key() -> None:
    printed = [
        run("create_project", "alpha", "--upstream-key", UPSTREAM_KEY),
        run("create_project", "alpha2", "--upstream-key", UPSTREAM_KEY, "--json"),
        *(
            run(*command, *form)
            for command in (["list_projects"], ["deactivate_project", "alpha"], ["activate_project", "alpha"])
            for form in ([], ["--json"])
        ),
    ]
    ciphertexts = UpstreamKey.objects.values_list("ciphertext", flat=True)
    assert all("alpha" in text for text in printed)
    assert not any(secret in "".join(printed) for secret in (UPSTREAM_KEY, *ciphertexts))
    assert UPSTREAM_KEY not in stored_text()


@pytest.mark.django_db(transaction=True)
def test_process_reads_the_key_from_standard_input_and_ends_with_0() -> None:
    done = in_a_process("create_project", "alpha", "--upstream-key", "-", "--json", stdin=f"{UPSTREAM_KEY}\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["id"] == str(Project.objects.get().id)
    assert UpstreamKey.objects.get().reveal() == UPSTREAM_KEY
    assert UPSTREAM_KEY not in done.stdout


@pytest.mark.django_db(transaction=True)
def test_process_that_could_not_do_it_ends_with_1_and_a_sentence() -> None:
    ProjectFactory.create(name="alpha")
    done = in_a_process("create_project", "alpha", "--upstream-key", "sk-upstream-second")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "CommandError: name: Project with this Name already exists.\n"


@pytest.mark.django_db(transaction=True)
def test_process_whose_command_line_makes_no_sense_ends_with_2() -> None:
    done = in_a_process("create_project", "alpha")
    assert (done.returncode, done.stdout) == (2, "")
    assert "the following arguments are required: --upstream-key" in done.stderr
    assert not Project.objects.exists()


def test_process_that_finds_no_tables_ends_with_1_and_a_sentence(tmp_path: Path) -> None:
    done = in_a_process("list_projects", database=tmp_path / "empty.db")
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from tests.commands import run, run_json
from tests.factories import AccessTokenFactory, UsageRecordFactory, usage_entry
from usage.batches import write_batch

pytestmark = pytest.mark.django_db


def test_requests_are_listed_the_newest_first() -> None:
    now = timezone.now()
    for minutes, model in ((3, "gpt-old"), (1, "gpt-new")):
        UsageRecordFactory(model=model, started_at=now - timedelta(minutes=minutes))
    UsageRecordFactory(model="gpt-older", started_at=now - timedelta(days=2))
    assert [each["model"] for each in run_json("list_usage")] == ["gpt-new", "gpt-old"]
    assert [each["model"] for each in run_json("list_usage", "--limit", "1")] == ["gpt-new"]
    assert len(run_json("list_usage", "--last", "3d")) == 3


def test_the_list_says_that_there_are_more_than_it_shows() -> None:
    for _ in range(2):
        UsageRecordFactory()
    listed, said = StringIO(), StringIO()
    call_command("list_usage", "--limit", "1", stdout=listed, stderr=said)
    assert len(listed.getvalue().splitlines()) == 2
    assert said.getvalue() == "There are more: only the newest 1 are shown (--limit).\n"
    assert len(run_json("list_usage", "--limit", "1")) == 1
    for enough in ("2", str(2**63 - 1)):
        assert "There are more" not in run("list_usage", "--limit", enough)


def test_the_list_is_of_what_was_asked_for() -> None:
    token = AccessTokenFactory()
    record = UsageRecordFactory(
        token=token, model="gpt-4o", outcome="refused", error_code="model_not_allowed"
    )
    UsageRecordFactory(model="gpt-5")
    for options in (
        ["--project", token.project.name],
        ["--token", str(token.id)],
        ["--model", "gpt-4o"],
        ["--outcome", "refused"],
    ):
        assert [each["id"] for each in run_json("list_usage", *options)] == [str(record.id)], options
    assert "model_not_allowed" in run("list_usage", "--outcome", "refused")


def test_what_was_used_is_summed_up() -> None:
    token = AccessTokenFactory()
    used = {"model": "gpt-4o", "status": 200, "attempts": 1, "input_tokens": 3, "cost_microusd": 5}
    write_batch([usage_entry(token, **used) for _ in range(2)])
    by_project = run_json("summarize_usage", "--by", "project", "--last", "24h")
    assert [(each["name"], each["requests"]) for each in by_project["data"]] == [(token.project.name, 2)]
    assert by_project["total"]["input_tokens"] == 6
    for options in (
        ["--by", "model"],
        ["--by", "hour", "--token", str(token.id)],
        ["--project", token.project.name],
    ):
        assert run_json("summarize_usage", *options)["total"]["requests"] == 2, options
    lines = run("summarize_usage", "--by", "model").splitlines()
    assert [line.split()[0] for line in lines] == ["MODEL", "gpt-4o", "in"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--by", "model", "--token", "sk-wt-none"], "Of one token, usage is not summed up by model."),
        (["--last", "5000d"], "1098 days at most can be summed up."),
        (["--project", "none"], "There is no project 'none'. `list_projects` shows them all."),
    ],
)
def test_what_cannot_be_summed_up_is_said(options: list[str], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        run("summarize_usage", *options)

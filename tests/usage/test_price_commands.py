import json
import re
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.management.base import CommandError
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from audit.models import AuditEvent
from tests.commands import in_a_process, run, run_json
from tests.factories import AccessTokenFactory, UsageRecordFactory
from tests.usage.factories import ModelPriceFactory
from usage.models import ModelPrice
from usage.outcomes import CostSource

pytestmark = pytest.mark.django_db
NEEDS = "A price needs --input and --output, and --remove needs that nothing else is given."
NOT_SET = "No price is set for 'gpt-4o'. `list_prices` shows those that are."
NOT_USD = "must be a number of US dollars, such as 2.50, and at least 0"
VOICE = {
    "model": "voice-*",
    "input_price": "4.00",
    "cached_input_price": "0.40",
    "output_price": "16.00",
    "audio_input_price": "32.00",
    "audio_output_price": "64.00",
    "context_window": 32_000,
    "max_output_tokens": 4_096,
}
VOICE_ARGUMENTS = [
    "--input=4",
    "--cached-input=0.40",
    "--output=$16",
    "--audio-input=32",
    "--audio-output=64.00",
    "--context-window=32000",
    "--max-output-tokens=4096",
]


@pytest.fixture(autouse=True)
def _whoever_runs_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ada")


def test_set_price_stores_a_price_and_gives_it_as_facts() -> None:
    facts = run_json("set_price", "voice-*", *VOICE_ARGUMENTS)
    assert facts == {**VOICE, "source": "override", "changed": True}
    price = ModelPrice.objects.get()
    assert (price.model, price.cached_input_price, price.max_output_tokens) == (
        "voice-*",
        Decimal("0.4"),
        4096,
    )


def test_set_price_prints_the_price() -> None:
    heading, line = run("set_price", "my-model", "--input", "2.5", "--output", "10").splitlines()
    assert re.split(r"\s{2,}", heading) == [
        *("MODEL", "SOURCE", "INPUT", "CACHED", "OUTPUT", "AUDIO IN", "AUDIO OUT", "CONTEXT", "MAX OUTPUT")
    ]
    assert line.split() == ["my-model", "override", "2.50", "-", "10.00", "-", "-", "-", "-"]


def test_set_price_is_audited_as_the_one_who_ran_it() -> None:
    run("set_price", "voice-*", *VOICE_ARGUMENTS)
    event = AuditEvent.objects.get()
    assert (event.action, event.actor, event.subject_name) == ("price.set", "cli:ada", "voice-*")
    assert event.details == {**VOICE, "before": None}


def test_set_price_replaces_the_whole_price() -> None:
    run("set_price", "voice-*", *VOICE_ARGUMENTS)
    facts = run_json("set_price", "voice-*", "--input=1", "--output=0")
    assert (facts["input_price"], facts["output_price"], facts["changed"]) == ("1.00", "0.00", True)
    price = ModelPrice.objects.get()
    assert (price.cached_input_price, price.audio_output_price, price.context_window) == (None, None, None)
    assert AuditEvent.objects.get(details__input_price="1.00").details["before"] == VOICE


def test_set_price_to_what_it_is_changes_nothing() -> None:
    run("set_price", "voice-*", *VOICE_ARGUMENTS)
    assert run("set_price", " voice-* ", *VOICE_ARGUMENTS).endswith("\nNothing has changed.\n")
    assert AuditEvent.objects.count() == ModelPrice.objects.count() == 1


def test_set_price_removes_a_price() -> None:
    run("set_price", "voice-*", *VOICE_ARGUMENTS)
    assert run("set_price", "voice-*", "--remove") == "The price of voice-* is removed.\n"
    assert not ModelPrice.objects.exists()
    event = AuditEvent.objects.get(action="price.removed")
    assert (event.actor, event.subject_name, event.details) == ("cli:ada", "voice-*", VOICE)


def test_set_price_cannot_remove_what_is_not_set() -> None:
    with pytest.raises(CommandError, match=re.escape(NOT_SET)):
        run("set_price", "gpt-4o", "--remove")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["m"], NEEDS),
        (["m", "--input=1"], NEEDS),
        (["m", "--output=1"], NEEDS),
        (["m", "--input=1", "--output=1", "--remove"], NEEDS),
        (["m", "--context-window=9", "--remove"], NEEDS),
        (["m", "--input=-1", "--output=1"], NOT_USD),
        (["m", "--input=cheap", "--output=1"], NOT_USD),
        (["m", "--input=1", "--output=inf"], NOT_USD),
        (["m", "--input=1", "--output=nan"], NOT_USD),
        (["m", "--input=0.0000001", "--output=1"], "no more than 6 decimal places"),
        (["m", "--input=1000000", "--output=1"], "input_price: Ensure that there are no more than"),
        (["m", "--input=1", "--output=1", "--context-window=0"], "must be a whole number above 0"),
        (["m", "--input=1", "--output=1", "--max-output-tokens=many"], "must be a whole number above 0"),
        (["", "--input=1", "--output=1"], "model: This field cannot be blank."),
        (["m" * 101, "--input=1", "--output=1"], "model: Ensure this value has at most 100 characters"),
    ],
)
def test_set_price_says_in_a_sentence_what_is_wrong(arguments: list[str], problem: str) -> None:
    with pytest.raises(CommandError, match=re.escape(problem)):
        run("set_price", *arguments)
    assert not ModelPrice.objects.exists()
    assert not AuditEvent.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_process_whose_command_line_makes_no_sense_ends_with_2() -> None:
    done = in_a_process("set_price", "m", "--input=1")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"CommandError: {NEEDS}\n")


@pytest.mark.django_db(transaction=True)
def test_price_that_a_process_sets_is_listed_by_another() -> None:
    assert in_a_process("set_price", "m", "--input=1", "--output=2").returncode == 0
    (price,) = json.loads(in_a_process("list_prices", "m", "--json").stdout)
    assert (price["source"], price["input_price"], price["output_price"]) == ("override", "1.00", "2.00")


def test_list_prices_shows_those_that_were_set_by_name() -> None:
    ModelPriceFactory(model="b", input_price=2, output_price=8, cached_input_price=1)
    ModelPriceFactory(model="a*")
    _, first, second = run("list_prices").splitlines()
    assert first.split() == ["a*", "override", "2.00", "-", "8.00", "-", "-", "-", "-"]
    assert second.split() == ["b", "override", "2.00", "1.00", "8.00", "-", "-", "-", "-"]


def test_list_prices_gives_facts() -> None:
    run("set_price", "voice-*", *VOICE_ARGUMENTS)
    assert run_json("list_prices") == [{**VOICE, "source": "override"}]


def test_list_of_no_prices_is_its_heading_only() -> None:
    assert len(run("list_prices").splitlines()) == 1
    assert run_json("list_prices") == []


def test_list_prices_shows_what_holds_for_a_model_and_where_it_comes_from() -> None:
    ModelPriceFactory(model="my-*")
    lines = run("list_prices", "my-model", "gpt-4o", "tts-1").splitlines()[1:]
    assert [line.split() for line in lines] == [
        ["my-model", "override", "2.00", "2.00", "8.00", "2.00", "8.00", "-", "-"],
        ["gpt-4o", "genai-prices", "2.50", "1.25", "10.00", "2.50", "10.00", "128000", "16384"],
        ["tts-1", "none", *"-------"],
    ]


def test_list_prices_shows_the_tiers_of_long_prompts() -> None:
    _, _, tier = run("list_prices", "gpt-5.4").splitlines()
    assert tier.split()[:7] == ["above", "272000", "input", "5.00", "0.50", "22.50", "5.00"]
    (price,) = run_json("list_prices", "gpt-5.4")
    assert [(tier["above"], tier["output_price"]) for tier in price["tiers"]] == [(272_000, "22.50")]


def test_list_prices_gives_facts_of_models() -> None:
    assert run_json("list_prices", "gpt-6-sol", "unheard-of")[0] | {"tiers": []} == {
        "model": "gpt-6-sol",
        "source": "genai-prices",
        "input_price": "2.00",
        "cached_input_price": "0.20",
        "cache_write_price": "2.50",
        "output_price": "10.00",
        "audio_input_price": "2.00",
        "audio_output_price": "10.00",
        "context_window": 1_050_000,
        "max_output_tokens": 128_000,
        "tiers": [],
    }
    assert run_json("list_prices", "unheard-of") == [{"model": "unheard-of", "source": "none"}]


def test_list_prices_shows_what_was_asked_for_without_a_price(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    token = AccessTokenFactory()
    now = timezone.now()
    for model, days in [("tts-1", 1), ("tts-1", 29), ("tts-1", 31), ("my-model", 2), ("", 3)]:
        UsageRecordFactory(token=token, model=model, started_at=now - timedelta(days=days))
    UsageRecordFactory(token=token, model="gpt-4o", cost_source=CostSource.PRICE, cost_microusd=1)
    ways = {
        "flat": {"cost_source": CostSource.FLAT, "cost_microusd": 5},
        "refused": {"cost_source": CostSource.FREE, "cost_microusd": 0, "error_code": "model_unpriced"},
        "free": {"cost_source": CostSource.FREE, "cost_microusd": 0, "error_code": "token_expired"},
    }
    for model, fields in ways.items():
        UsageRecordFactory(token=token, model=model, started_at=now, **fields)
    with django_assert_num_queries(1):
        facts = run_json("list_prices", "--unpriced")
    assert [(each["model"], each["requests"], each["last_used_at"]) for each in facts] == [
        ("tts-1", 2, (now - timedelta(days=1)).isoformat()),
        ("", 1, (now - timedelta(days=3)).isoformat()),
        ("flat", 1, now.isoformat()),
        ("my-model", 1, (now - timedelta(days=2)).isoformat()),
        ("refused", 1, now.isoformat()),
    ]
    assert {each["endpoint"] for each in facts} == {"/chat/completions"}
    heading, *lines = run("list_prices", "--unpriced").splitlines()
    assert heading.split() == ["MODEL", "ENDPOINT", "REQUESTS", "LAST", "USED"]
    assert [line.split()[:3:2] for line in lines][:2] == [["tts-1", "2"], ["-", "1"]]


def test_list_prices_shows_either_models_or_what_is_unpriced() -> None:
    with pytest.raises(CommandError, match="not allowed with argument"):
        run("list_prices", "gpt-4o", "--unpriced")

"""The figures are those of OpenAI's price list, as genai-prices has them."""

import socket
import subprocess
import sys
from datetime import UTC, datetime
from typing import NoReturn

import pytest

from llm_proxy_site.processes import MANAGE
from usage.known_prices import KnownPrices
from usage.output_limits import MAX_OUTPUT_TOKENS
from usage.prices import Price

NOW = datetime(2026, 11, 1, tzinfo=UTC)
MILLION = 1_000_000


@pytest.fixture(scope="module")
def known() -> KnownPrices:
    return KnownPrices()


def find(known: KnownPrices, model: str, service_tier: str = "", now: datetime = NOW) -> Price:
    price = known.find(model, service_tier, now)
    assert price is not None
    return price


def usd(price: Price, input_tokens: int, output_tokens: int, **parts: int) -> float:
    cost = price.cost_microusd(input_tokens=input_tokens, output_tokens=output_tokens, **parts)
    return cost / 1_000_000


def test_gpt_4o_costs_what_the_price_list_says(known: KnownPrices) -> None:
    price = find(known, "gpt-4o")
    assert usd(price, MILLION, MILLION) == 12.5
    assert usd(price, MILLION, 0, cached_tokens=MILLION) == 1.25
    assert (price.context_window, price.max_output_tokens) == (128_000, 16_384)


@pytest.mark.parametrize("model", ["gpt-4o-2024-08-06", "gpt-4o-2024-11-20", "GPT-4o"])
def test_snapshots_cost_what_their_model_costs(known: KnownPrices, model: str) -> None:
    assert find(known, model) == find(known, "gpt-4o")


@pytest.mark.parametrize(
    ("tier", "both"),
    [
        ("", 2 + 8),
        ("default", 2 + 8),
        ("auto", 2 + 8),
        ("a tier of tomorrow", 2 + 8),
        ("flex", 1 + 4),
        ("priority", 3.5 + 14),
    ],
)
def test_service_tiers_have_their_prices(known: KnownPrices, tier: str, both: float) -> None:
    assert usd(find(known, "o3", tier), MILLION, MILLION) == both


def test_model_without_a_price_for_a_tier_has_the_standard_one(known: KnownPrices) -> None:
    assert find(known, "gpt-4o", "flex") == find(known, "gpt-4o")


def test_long_prompts_of_gpt_5_4_cost_more(known: KnownPrices) -> None:
    price = find(known, "gpt-5.4")
    assert usd(price, 272_000, 1_000) == 0.695
    assert usd(price, 272_001, 1_000) == 1.382505
    assert usd(price, 300_000, 0, cached_tokens=300_000) == 0.15
    assert price.worst_case_microusd(input_tokens=272_001, output_tokens=0) == 272_001 * 5


def test_long_prompts_of_a_service_tier_have_its_prices(known: KnownPrices) -> None:
    assert usd(find(known, "gpt-5.4", "flex"), 300_000, 0) == 0.75
    assert usd(find(known, "gpt-5.4", "priority"), 300_000, 0) == 1.5


def test_prices_have_dates(known: KnownPrices) -> None:
    launched, now = datetime(2025, 6, 9, 23, 59, tzinfo=UTC), datetime(2025, 6, 10, tzinfo=UTC)
    assert usd(find(known, "o3", now=launched), MILLION, 0) == 10
    assert usd(find(known, "o3", now=now), MILLION, 0) == 2


def test_what_is_written_to_the_cache_costs_more(known: KnownPrices) -> None:
    price = find(known, "gpt-6-sol")
    assert usd(price, 100_000, 0, cache_write_tokens=100_000) == 0.25
    assert price.worst_case_microusd(input_tokens=100_000, output_tokens=0) == 250_000


def test_voices_have_audio_rates(known: KnownPrices) -> None:
    price = find(known, "gpt-realtime")
    assert usd(price, MILLION, MILLION) == 4 + 16
    parts = {"audio_input_tokens": MILLION, "audio_output_tokens": MILLION}
    assert usd(price, MILLION, MILLION, **parts) == 32 + 64
    assert usd(price, MILLION, 0, audio_input_tokens=MILLION, cached_tokens=MILLION) == 0.4


def test_images_cost_their_own_rates_not_those_of_text(known: KnownPrices) -> None:
    assert usd(find(known, "gpt-image-1.5"), MILLION, MILLION) == 8 + 32
    assert usd(find(known, "gpt-image-1"), MILLION, MILLION) == 10 + 40


def test_embeddings_put_out_nothing(known: KnownPrices) -> None:
    price = find(known, "text-embedding-3-small")
    assert usd(price, MILLION, MILLION) == 0.02
    assert price.max_output_tokens == 0


@pytest.mark.parametrize(
    ("model", "both", "context_window", "max_output_tokens"),
    [
        ("ft:gpt-4o-mini-2024-07-18:acme::abc", 0.3 + 1.2, 128_000, 16_384),
        ("ft:gpt-4o-2024-08-06:acme:moderation:abc", 3.75 + 15, 128_000, 16_384),
        ("ft:gpt-3.5-turbo-0125:acme::abc:ckpt-step-7", 3 + 6, 16_385, 4_096),
    ],
)
def test_fine_tuned_models_have_their_price_and_the_limits_of_their_base(
    known: KnownPrices, model: str, both: float, context_window: int, max_output_tokens: int
) -> None:
    price = find(known, model)
    assert usd(price, MILLION, MILLION) == both
    assert (price.context_window, price.max_output_tokens) == (context_window, max_output_tokens)


@pytest.mark.parametrize(
    "model", ["omni-moderation-latest", "omni-moderation-2024-09-26", "text-moderation-007"]
)
def test_moderation_is_free(known: KnownPrices, model: str) -> None:
    assert usd(find(known, model), MILLION, MILLION) == 0


@pytest.mark.parametrize(
    "model",
    [
        "ft:gpt-4.1-mini-2025-04-14:acme:moderation:abc",
        "my-moderation",
        "tts-1",
        "whisper-1",
        "gpt-transcribe",
        "dall-e-3",
        "claude-sonnet-4-5",
        "gemini-2.5-pro",
        "",
    ],
)
def test_no_price_is_made_up(known: KnownPrices, model: str) -> None:
    assert known.find(model, "", NOW) is None


def test_model_without_a_known_output_limit_has_its_context_window(
    known: KnownPrices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(MAX_OUTPUT_TOKENS, "gpt-4o*")
    assert find(known, "gpt-4o").max_output_tokens == 128_000


def test_model_of_which_no_limit_is_known_has_none(known: KnownPrices) -> None:
    assert known.limits("gpt-image-2") == known.limits("unheard-of") == (None, None)


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> NoReturn:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert KnownPrices().find("gpt-4o", "", NOW) is not None


def test_commands_that_need_no_prices_do_not_load_them() -> None:
    code = """
import sys
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", "check"])
import usage.admin, usage.price_book, usage.management.commands.list_prices
assert "genai_prices" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=MANAGE.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

"""What a request at its end adds to the numbers, and what it cannot make of them."""

import timeit
from typing import Any
from uuid import UUID, uuid4

import pytest
from uuid_utils.compat import uuid7

from proxy.metrics.board import Board, Kind
from proxy.metrics.catalogue import ERRORS, HISTOGRAMS, LATENCIES, LIMITS, MODEL_TOKENS, REQUESTS, USAGE
from proxy.metrics.counts import Counts
from proxy.metrics.sums import Sums
from usage.entry import UsageEntry
from usage.outcomes import Outcome
from usage.price_book import PriceBook

PROJECT = UUID(int=7)
PRICES = PriceBook()
FAMILIES = {"/chat/completions": "chat", "/realtime": "realtime"}
MOST_MICROSECONDS = 25.0
"""3 on a quiet machine."""


class World:
    def __init__(self) -> None:
        self.board = Board.of_one()
        self.counts = Counts(self.board, lambda path: FAMILIES[path], PRICES.name_of)

    def of(self, kind: Kind) -> dict[tuple[str, ...], list[float]]:
        """Those that are not nothing."""
        values = Sums(self.board.read()).of(kind)
        return {labels: each for labels, each in values.items() if any(each)}


def ended(**fields: Any) -> UsageEntry:
    values = {
        "id": uuid7(),
        "started_at": 1.0,
        "method": "POST",
        "path": "/v1/chat/completions",
        "endpoint": "/chat/completions",
        "project_id": PROJECT,
        "token_id": UUID(int=8),
        "model": "gpt-4o",
        "outcome": Outcome.COMPLETED,
        "status": 200,
        "is_admitted": True,
        "attempts": 1,
        "input_tokens": 12,
        "output_tokens": 30,
        "cached_tokens": 4,
        "audio_output_tokens": 2,
        "cost_microusd": 100,
        "duration_seconds": 0.3,
        "first_byte_seconds": 0.1,
        "overhead_seconds": 0.0007,
    }
    return UsageEntry(**(values | fields))


def test_a_request_is_counted_with_all_its_facts() -> None:
    world = World()
    for _ in range(2):
        world.counts.count(ended())

    assert world.of(REQUESTS) == {("chat", "POST", "200", "completed"): [2]}
    ((labels, values),) = world.of(USAGE).items()
    assert labels == (str(PROJECT), "gpt-4o")
    assert dict(zip(MODEL_TOKENS, values, strict=False)) == {
        **dict.fromkeys(MODEL_TOKENS, 0),
        "input": 24,
        "output": 60,
        "cached": 8,
        "audio_output": 4,
    }
    assert values[-1] == 200
    ((labels, values),) = world.of(LATENCIES).items()
    assert labels == ("chat",)
    of_value = dict(zip(LATENCIES.values, values, strict=True))
    assert {name: value for name, value in of_value.items() if value} == {
        "llm_proxy_request_duration_seconds:0.5": 2,
        "llm_proxy_request_duration_seconds:sum": 0.6,
        "llm_proxy_first_byte_seconds:0.1": 2,
        "llm_proxy_first_byte_seconds:sum": 0.2,
        "llm_proxy_overhead_seconds:0.001": 2,
        "llm_proxy_overhead_seconds:sum": 0.0014,
    }


def test_what_takes_longer_than_any_bound_is_in_the_last_bucket() -> None:
    world = World()
    world.counts.count(ended(duration_seconds=1e6, first_byte_seconds=1e6, overhead_seconds=1e6))
    ((_, values),) = world.of(LATENCIES).items()
    of_value = dict(zip(LATENCIES.values, values, strict=True))
    assert {name for name, value in of_value.items() if value} == {
        f"{name}:{end}" for name in HISTOGRAMS for end in ("+Inf", "sum")
    }


def test_what_we_answered_ourselves_says_nothing_of_how_long_answers_take() -> None:
    world = World()
    free = {"input_tokens": None, "output_tokens": None, "cost_microusd": 0, "is_admitted": False}
    limited = {"error_code": "rate_limit_exceeded", "limit_reached": "requests_per_minute"}
    unreachable = {"error_code": "upstream_unreachable"}
    cut = {"error_code": "budget_exceeded", "endpoint": ""}
    world.counts.count(ended(outcome=Outcome.REFUSED, status=429, **limited, **free))
    world.counts.count(ended(outcome=Outcome.UPSTREAM_FAILED, status=502, **unreachable, **free))
    world.counts.count(ended(endpoint="/realtime", method="GET", status=101, **free))
    world.counts.count(ended(outcome=Outcome.CLIENT_CLOSED, status=None, **free))
    world.counts.count(ended(outcome=Outcome.CUT, status=200, **cut, **free))

    assert world.of(LATENCIES).keys() == {("none",)}
    assert world.of(USAGE) == {}
    assert world.of(ERRORS) == {
        ("rate_limit_exceeded",): [1],
        ("upstream_unreachable",): [1],
        ("budget_exceeded",): [1],
    }
    assert world.of(LIMITS) == {("requests_per_minute",): [1], ("budget",): [1]}
    assert world.of(REQUESTS).keys() == {
        ("chat", "POST", "429", "refused"),
        ("chat", "POST", "502", "upstream_failed"),
        ("realtime", "GET", "101", "completed"),
        ("chat", "POST", "none", "client_closed"),
        ("none", "POST", "200", "cut"),
    }


def test_models_are_told_by_the_names_of_their_prices() -> None:
    world = World()
    for model in ("gpt-4o-2024-08-06", "gpt-4o", "gpt-4o-made-up", "made-up", "", "x" * 10_000):
        world.counts.count(ended(model=model))
    assert {model: values[0] for (_, model), values in world.of(USAGE).items()} == {"gpt-4o": 24, "other": 48}


def test_whatever_is_made_up_there_are_few_series() -> None:
    world = World()
    for number in range(1500):
        world.counts.count(
            ended(
                method=f"M{number}",
                status=100 + number % 900,
                model=f"model-{number}",
                project_id=uuid4(),
                error_code=f"code-{number}",
            )
        )
    assert len(world.of(REQUESTS)) < 70
    assert len(world.of(USAGE)) <= USAGE.most + 1
    assert len(world.of(ERRORS)) <= ERRORS.most + 1
    for kind in (REQUESTS, USAGE, ERRORS):
        assert sum(values[0] for values in world.of(kind).values()) in (1500, 1500 * 12)


def test_a_project_beyond_the_most_models_keeps_its_name() -> None:
    world = World()
    world.counts.count(ended(model="made-up"))
    for _ in range(USAGE.most):
        world.counts.count(ended(project_id=uuid4()))
    world.counts.count(ended(model="made-up"))
    assert world.of(USAGE)[str(PROJECT), "other"][0] == 24


def test_counting_is_cheap() -> None:
    world, entry = World(), ended()
    seconds = min(timeit.repeat(lambda: world.counts.count(entry), number=1000, repeat=5)) / 1000
    assert seconds * 1e6 < MOST_MICROSECONDS


@pytest.mark.parametrize(
    ("status", "label"), [(200, "200"), (None, "none"), (520, "5xx"), (499, "4xx"), (999, "other")]
)
def test_a_status_that_nobody_has_defined_is_told_by_its_class(status: int | None, label: str) -> None:
    world = World()
    world.counts.count(ended(status=status))
    assert world.of(REQUESTS) == {("chat", "POST", label, "completed"): [1]}

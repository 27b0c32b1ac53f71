"""The turns of a conversation as limits and ledger see them, whatever the order in which events come."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from projects.models import DeathPolicy, UnpricedPolicy
from projects.rules import parse_rules
from projects.ruleset import Ruleset, make_ready
from proxy.endpoints import Endpoint
from proxy.errors import ProxyError
from proxy.running import RunningRequests
from proxy.websockets.admission_desk import MAX_OPEN_TURNS
from proxy.websockets.client_events import ClientEvent
from proxy.websockets.client_events import read_event as read_client_event
from proxy.websockets.ledger import TurnLedger
from proxy.websockets.server_events import read_event
from proxy.websockets.state import ConversationState, RealtimeState, ResponsesState
from tests.grants import make_grant
from tokens.directory import Directory
from tokens.grant import Grant
from tokens.limits.memory import MemoryStore
from tokens.limits.values import Charge, Counters, Lease, Limits, Subject, Tally
from usage.entry import UsageEntry
from usage.outcomes import Outcome
from usage.price_book import PriceBook

PRICES = PriceBook()
REALTIME = Endpoint(path="/realtime", methods=(), websocket=True, usage="openai")
RESPONSES = Endpoint(path="/responses", methods=("POST",), websocket=True, usage="openai")
TRANSCRIBED = "conversation.item.input_audio_transcription.completed"
LIMITED = {"parameters": [{"name": "max_output_tokens", "required": True, "maximum": 100}]}
USAGE = {"input_tokens": 100, "output_tokens": 10}


def client_event(kind: str, **members: Any) -> ClientEvent:
    event = read_client_event(json.dumps({"type": kind, **members}))
    assert event is not None
    return event


def rules(document: dict[str, Any]) -> Ruleset:
    ready = make_ready(parse_rules(document))
    assert ready is not None
    return ready


class World:
    """One conversation on a store in memory."""

    def __init__(self, *, endpoint: Endpoint = REALTIME, **limits: Any) -> None:
        self.grant = make_grant(
            token_limits=Limits(**limits) if limits else None,
            unpriced_policy=UnpricedPolicy.FLAT,
            flat_price_microusd=7,
        )
        self.store = Store()
        self.rows: list[UsageEntry] = []
        self.state: ConversationState = (
            RealtimeState("gpt-realtime", joins=False) if endpoint is REALTIME else ResponsesState()
        )
        directory = Directory(_no_grant, max_tokens=1, ttl_seconds=60)
        self.running = RunningRequests(directory, self.store, _keep_nothing_alive)
        connection = UsageEntry(id=uuid7(), started_at=0, method="GET", path="/v1/x", endpoint=endpoint.path)
        self.turns = TurnLedger(
            self.grant,
            endpoint,
            connection,
            self.state,
            limits=self.store,
            prices=PRICES,
            running=self.running,
            record=self.rows.append,
        )

    async def ask(self, **members: Any) -> Any:
        """The error that the client is told; None if the turn passes."""
        event = client_event("response.create", **members)
        told = await self.turns.begin(event, self.turns.judge(event))
        return None if told is None else json.loads(told)["error"]

    def change(self, **session: Any) -> None:
        """The client asks for a change of the session, which may pass."""
        event = client_event("session.update", session=session)
        self.turns.judge(event)
        self.state.asked(event)

    async def hear(self, kind: str, **members: Any) -> ProxyError | None:
        return await self.turns.hear(read_event(kind, json.dumps(members).encode()))

    async def done(self, response_id: str = "r", usage: Any = USAGE) -> ProxyError | None:
        return await self.hear("response.done", response={"id": response_id, "usage": usage})

    async def standing(self) -> Counters:
        return (await self.store.standing(self.grant.subjects))[0]


class Store(MemoryStore):
    """Whose settling can be interrupted."""

    def __init__(self) -> None:
        super().__init__(_no_tally, max_accounts=10)
        self.is_interrupted = False

    async def settle(self, lease: Lease, charge: Charge) -> None:
        if self.is_interrupted:
            self.is_interrupted = False
            raise asyncio.CancelledError
        await super().settle(lease, charge)


async def _no_grant(digest: str) -> Grant | None:
    return None


async def _keep_nothing_alive(token_ids: object) -> None:
    pass


async def _no_tally(subject: Subject, at_ms: int) -> Tally:
    return Tally()


async def test_two_responses_at_a_time_are_told_apart() -> None:
    world = World()
    for response_id in ("a", "b"):
        await world.ask()
        await world.hear("response.created", response={"id": response_id})
    for size in (40_000, 8_000):
        kind, response = "response.output_audio.delta", "a" if size == 40_000 else "b"
        world.turns.note_piece(kind, json.dumps({"response_id": response, "x": "y" * size}).encode())
    await world.done("b", {"input_tokens": 1, "output_tokens": 2})
    await world.done("a", {"input_tokens": 3, "output_tokens": 4})

    assert [(row.input_tokens, row.output_tokens) for row in world.rows] == [(1, 2), (3, 4)]
    assert not world.turns.are_running
    assert not list(world.running)


async def test_a_turn_is_registered_while_it_runs_and_says_what_it_has_used() -> None:
    world = World()
    await world.ask()
    (turn,) = world.running
    before = turn.used_microusd()
    await world.hear("response.created", response={"id": "r"})
    world.turns.note_piece("response.output_audio.delta", b"x" * 3200 * 10)
    assert turn.used_microusd() - before == 10 * 64  # USD 64 a million
    cut: list[ProxyError] = []
    world.turns.cut = cut.append
    assert not turn.is_idle


async def test_an_interrupted_end_is_made_good_and_recorded_once() -> None:
    world = World(budgets=(10_000_000, None, None, None))
    await world.ask()
    await world.hear("response.created", response={"id": "r"})
    world.store.is_interrupted = True
    with pytest.raises(asyncio.CancelledError):
        await world.done()
    await world.turns.end_all(Outcome.CUT)

    (row,) = world.rows
    assert (row.outcome, row.input_tokens, row.output_tokens) == (Outcome.COMPLETED, 100, 10)
    standing = await world.standing()
    assert (standing.active, standing.spent[0]) == (0, row.cost_microusd)


async def test_a_transcription_is_charged_at_once_whatever_the_rates_are() -> None:
    world = World(
        max_concurrent_requests=1, max_requests_per_minute=1, budgets=(10_000_000, None, None, None)
    )
    world.state.transcription_model = "gpt-4o-transcribe"
    await world.ask()
    await world.hear("response.created", response={"id": "r"})
    kind = "conversation.item.input_audio_transcription.completed"
    assert await world.hear(kind, usage=USAGE) is None

    (transcription,) = world.rows
    assert (transcription.model, transcription.is_admitted) == ("gpt-4o-transcribe", True)
    assert transcription.error_code == "rate_limit_exceeded"
    assert transcription.cost_microusd
    assert (await world.standing()).spent[0] == transcription.cost_microusd


async def test_a_turn_that_upstream_began_and_no_limit_allows_is_charged() -> None:
    world = World(budgets=(10_000, None, None, None))  # less than a turn may cost
    world.state.sent("x" * 4000)
    refused = await world.hear("response.created", response={"id": "r"})
    assert refused is not None
    (row,) = world.rows
    assert (row.outcome, row.is_admitted) == ("cut", True)
    assert row.cost_microusd
    assert (await world.standing()).spent[0] == row.cost_microusd


async def test_a_transcription_without_a_price_is_refused_where_the_project_says_so() -> None:
    world = World(max_requests=50)
    world.turns.grant = replace(world.grant, unpriced_policy=UnpricedPolicy.REFUSE)
    session = {"audio": {"input": {"transcription": {"model": "nobody-knows-it"}}}}
    event = read_client_event(json.dumps({"type": "session.update", "session": session}))
    assert event is not None
    with pytest.raises(ProxyError) as refused:
        world.turns.judge(event)
    assert refused.value.code == "model_unpriced"
    world.state.transcription_model = "nobody-knows-it"  # as upstream may have had it before
    kind = "conversation.item.input_audio_transcription.completed"
    cut = await world.hear(kind, usage={"type": "duration", "seconds": 600})
    assert cut is not None
    assert cut.code == "model_unpriced"


async def test_a_transcription_that_finds_the_budget_used_up_is_the_end() -> None:
    world = World(budgets=(14, None, None, None))
    world.state.model = world.state.transcription_model = "nobody-knows-it"
    kind = "conversation.item.input_audio_transcription.completed"
    assert await world.hear(kind, usage={"type": "duration", "seconds": 1}) is None
    spent = await world.hear(kind, usage={"type": "duration", "seconds": 1})
    assert spent is not None
    assert spent.code == "budget_exceeded"
    assert await world.hear(kind, usage={"type": "duration", "seconds": 1}) is not None
    assert [row.outcome for row in world.rows] == ["completed", "completed", "cut"]


async def test_an_error_releases_the_turn_that_it_is_about() -> None:
    world = World()
    await world.ask(event_id="one")
    await world.ask()
    await world.ask(event_id="two")
    await world.hear("error", error={"event_id": "other"})
    assert not world.rows
    await world.hear("error", error={"event_id": "two"})
    await world.hear("error", error={"event_id": None})
    await world.hear("error", error={"event_id": None})
    assert [(row.cost_source, row.status) for row in world.rows] == [("free", 400)] * 2
    assert len(list(world.running)) == 1


async def test_an_error_ends_the_one_response_that_runs() -> None:
    world = World(endpoint=RESPONSES)
    await world.ask(event_id="mine", model="gpt-4o")
    await world.hear("error", error={"message": "no such response"})
    await world.ask(model="gpt-4o")
    await world.hear("response.created", response={"id": "r"})
    world.turns.note_piece("response.output_text.delta", b"{}")
    await world.hear("error", error={"message": "it broke"})
    assert [(row.cost_source, row.usage_source) for row in world.rows] == [
        ("free", "none"),
        ("price", "estimated"),
    ]


async def test_an_end_that_nobody_began_is_counted_all_the_same() -> None:
    world = World(max_requests=5)
    await world.done("unheard-of")
    (row,) = world.rows
    assert (row.input_tokens, row.is_admitted, row.model) == (100, True, "gpt-realtime")
    assert (await world.standing()).requests == 1


async def test_a_failed_turn_without_usage_is_free() -> None:
    world = World()
    await world.ask()
    await world.hear("response.created", response={"id": "r"})
    await world.hear("response.done", response={"id": "r", "status": "failed"})
    assert [(row.cost_source, row.outcome) for row in world.rows] == [("free", "completed")]


async def test_a_refused_change_of_the_session_prices_no_turn() -> None:
    world = World(budgets=(10_000_000, None, None, None))
    event = read_client_event('{"type": "session.update", "session": {"model": "nobody-knows-it"}}')
    assert event is not None
    world.state.asked(event)
    await world.ask()
    (turn,) = world.running
    assert turn.lease.estimate.microusd > 7  # the dearer of both
    await world.hear("error", error={"event_id": None, "code": "cannot_update_model"})
    await world.hear("response.created", response={"id": "r"})
    await world.done()
    assert [(row.model, row.cost_source) for row in world.rows] == [("gpt-realtime", "price")]


async def test_an_error_without_an_id_is_about_what_was_sent_first() -> None:
    world = World()
    await world.ask()
    event = read_client_event('{"type": "session.update", "session": {"model": "other"}}')
    assert event is not None
    world.state.asked(event)
    await world.hear("error", error={"event_id": None})
    assert [row.cost_source for row in world.rows] == ["free"]


async def test_a_turn_without_a_model_is_refused_and_cut_where_limits_depend_on_it() -> None:
    world = World(budgets=(10_000_000, None, None, None))
    world.state.model = ""
    assert (await world.ask())["param"] == "model"
    cut = await world.hear("response.created", response={"id": "r"})
    assert cut is not None
    assert cut.code == "bad_request"
    assert not world.turns.are_running


async def test_a_turn_of_a_dead_token_does_not_begin_beside_one_that_finishes() -> None:
    world = World()
    await world.ask()
    world.turns.grant = replace(world.grant, token_revoked=True)
    assert (await world.ask())["code"] == "invalid_api_key"
    assert len(list(world.running)) == 1


async def test_a_beginning_that_is_told_twice_is_one_turn() -> None:
    world = World(max_concurrent_requests=2)
    for _ in range(2):
        await world.hear("response.created", response={"id": "r"})
    await world.done()
    assert len(world.rows) == 1
    assert (await world.standing()).active == 0
    assert not world.turns.are_running


async def test_turns_without_an_id_are_not_taken_for_one() -> None:
    world = World(max_concurrent_requests=2)
    for _ in range(2):
        await world.hear("response.created", response={})
    await world.hear("response.done", response={"usage": USAGE})
    assert len(list(world.running)) == 1
    await world.turns.end_all(Outcome.CUT)
    assert [row.outcome for row in world.rows] == ["completed", "cut"]
    assert (await world.standing()).active == 0


async def test_an_error_about_something_else_does_not_end_the_response_that_runs() -> None:
    world = World(endpoint=RESPONSES)
    await world.ask(event_id="mine", model="gpt-4o")
    await world.hear("response.created", response={"id": "r"})
    await world.hear("error", error={"event_id": "other"})
    await world.done()
    assert [(row.outcome, row.usage_source) for row in world.rows] == [("completed", "upstream")]


async def test_a_transcription_that_was_interrupted_in_settling_is_settled_at_the_end() -> None:
    world = World(budgets=(10_000_000, None, None, None))
    world.store.is_interrupted = True
    with pytest.raises(asyncio.CancelledError):
        await world.hear("conversation.item.input_audio_transcription.completed", usage=USAGE)
    await world.turns.end_all(Outcome.CUT)
    assert [row.outcome for row in world.rows] == ["completed"]
    assert (await world.standing()).active == 0


async def test_a_refused_turn_that_was_interrupted_in_settling_is_settled_at_the_end() -> None:
    world = World(budgets=(10_000, None, None, None))  # less than a turn may cost
    world.store.is_interrupted = True
    with pytest.raises(asyncio.CancelledError):
        await world.hear("response.created", response={"id": "r"})
    await world.turns.end_all(Outcome.CUT)
    assert [row.outcome for row in world.rows] == ["cut"]
    assert (await world.standing()).active == 0


async def test_a_turn_without_a_bound_is_not_held_as_its_bounded_session() -> None:
    world = World(budgets=(20_000, None, None, None))
    await world.hear("session.updated", session={"model": "gpt-realtime", "max_output_tokens": 1})
    assert await world.ask() is None
    assert (await world.ask(response={"max_output_tokens": "inf"}))["code"] == "budget_exceeded"


async def test_a_turn_of_a_session_names_no_other_model() -> None:
    world = World(budgets=(10_000_000, None, None, None))
    assert (await world.ask(response={"model": "nobody-knows-it"}))["param"] == "model"
    assert (await world.ask(model="nobody-knows-it"))["param"] == "model"
    assert await world.ask(response={"model": "gpt-realtime"}) is None
    assert [row.outcome for row in world.rows] == ["refused", "refused"]


async def test_a_turn_is_judged_again_when_it_begins() -> None:
    """Whether upstream has taken a change of the session is known then."""
    world = World()
    world.turns.grant = replace(world.grant, rules=rules(LIMITED))
    world.change(model="other", max_output_tokens=10)
    assert await world.ask() is None
    await world.hear("error", error={"event_id": None})  # about the change
    refused = await world.hear("response.created", response={"id": "r"})
    assert refused is not None
    assert refused.code == "param_not_allowed"
    world.change(max_output_tokens=10)
    assert await world.ask() is None
    await world.hear("session.updated", session={"max_output_tokens": 10})
    assert await world.hear("response.created", response={"id": "s"}) is None


async def test_an_end_without_a_beginning_is_judged_too() -> None:
    world = World()
    world.turns.grant = replace(world.grant, rules=rules(LIMITED))
    world.change(max_output_tokens=10)
    assert await world.ask() is None
    refused = await world.done()
    assert refused is not None
    assert [row.outcome for row in world.rows] == ["completed"]


@pytest.mark.parametrize("model", ["gpt-4o-transcribe", ""])
async def test_a_transcription_that_the_rules_of_now_do_not_allow_is_charged_and_is_the_end(
    model: str,
) -> None:
    world = World(max_requests=10)
    world.state.transcription_model = model
    assert await world.hear(TRANSCRIBED, usage=USAGE) is None
    world.turns.grant = replace(world.grant, rules=rules({"models": ["gpt-realtime"]}))
    refused = await world.hear(TRANSCRIBED, usage=USAGE)
    assert refused is not None
    assert refused.code == "model_not_allowed"
    assert [(row.outcome, row.error_code) for row in world.rows] == [
        ("completed", ""),
        ("cut", "model_not_allowed"),
    ]
    assert world.rows[1].cost_microusd


async def test_a_session_that_transcribes_by_a_model_that_is_not_allowed_is_ended() -> None:
    world = World()
    world.turns.grant = replace(world.grant, rules=rules({"models": ["gpt-realtime"]}))
    assert await world.hear("session.created", session={"model": "gpt-realtime"}) is None
    audio = {"input": {"transcription": {"model": "whisper-1"}}}
    refused = await world.hear("session.updated", session={"audio": audio})
    assert refused is not None
    assert refused.code == "model_not_allowed"


async def test_where_the_project_says_finish_a_transcription_ends_no_turn_that_runs() -> None:
    world = World(max_requests=100)
    world.state.transcription_model = "gpt-4o-transcribe"
    world.turns.grant = replace(world.grant, death_policy=DeathPolicy.FINISH)
    await world.ask()
    await world.hear("response.created", response={"id": "r"})
    world.turns.grant = replace(world.turns.grant, token_revoked=True)
    assert await world.hear(TRANSCRIBED, usage=USAGE) is None
    assert world.turns.are_running
    await world.done()
    refused = await world.hear(TRANSCRIBED, usage=USAGE)
    assert refused is not None
    assert [row.outcome for row in world.rows] == ["completed", "completed", "cut"]


async def test_a_transcription_that_is_paid_by_the_second_is_noted_and_charged_as_the_project_says() -> None:
    world = World()
    world.state.transcription_model = "whisper-1"
    assert await world.hear(TRANSCRIBED, usage={"type": "duration", "seconds": 3.5}) is None

    (row,) = world.rows
    assert (row.usage_source, row.audio_seconds, row.model) == ("upstream", 3.5, "whisper-1")
    assert (row.cost_source, row.cost_microusd) == ("flat", 7)  # no price in model tokens


async def test_so_many_turns_may_be_open_and_no_more() -> None:
    world = World()
    for _ in range(MAX_OPEN_TURNS):
        assert await world.ask() is None
    assert (await world.ask())["code"] == "rate_limit_exceeded"
    assert await world.hear(TRANSCRIBED, usage=USAGE) is None
    await world.done()
    assert await world.ask() is None


async def test_a_turn_that_was_taken_for_failed_may_begin() -> None:
    """An error without an id may be about any event without one."""
    world = World(max_requests=1, budgets=(10_000_000, None, None, None))
    await world.ask()
    await world.hear("error", error={"code": "input_audio_buffer_commit_empty"})
    assert await world.hear("response.created", response={"id": "r"}) is None
    await world.done()
    assert [(row.status, row.outcome) for row in world.rows] == [(400, "completed"), (200, "completed")]
    refused = await world.hear("response.created", response={"id": "s"})
    assert refused is not None
    assert refused.code == "request_limit_reached"


async def test_a_turn_that_was_taken_for_failed_may_not_begin_beyond_a_budget() -> None:
    world = World(budgets=(20_000, None, None, None))
    await world.ask(response={"max_output_tokens": 1})
    await world.hear("error", error={})
    refused = await world.hear("response.created", response={"id": "r"})
    assert refused is not None
    assert refused.code == "budget_exceeded"


async def test_an_end_behind_an_error_is_no_other_turns() -> None:
    world = World(endpoint=RESPONSES, budgets=(10_000_000, None, None, None))
    await world.ask(model="gpt-4o", input="x")
    await world.hear("response.created", response={"id": "a"})
    await world.ask(model="gpt-4o-mini", input="y")
    await world.hear("error", error={"message": "no such event"})
    used = {"input_tokens": 100_000, "output_tokens": 10_000}
    for response_id, model in (("a", "gpt-4o"), ("b", "gpt-4o-mini")):
        response = {"id": response_id, "model": model, "usage": used}
        assert await world.hear("response.completed", response=response) is None
    assert [(row.model, row.input_tokens, row.cost_microusd) for row in world.rows[1:]] == [
        ("gpt-4o", 100_000, 350_000),
        ("gpt-4o-mini", 100_000, 21_000),
    ]

"""The turns of one conversation: admitted, priced, settled and recorded, each like a request of its own."""

import time
from collections.abc import Callable
from dataclasses import replace

import msgspec

from proxy import admission, policy
from proxy.bill import Bill
from proxy.endpoints import Endpoint
from proxy.errors import ProxyError, RateLimitReached
from proxy.facts import Facts
from proxy.metering.usage import Usage
from proxy.running import RunningRequests
from proxy.websockets import server_events
from proxy.websockets.client_events import ClientEvent
from proxy.websockets.open_turns import OpenTurns
from proxy.websockets.refusals import error_event, model_unknown, used_up
from proxy.websockets.rules import MessageJudge
from proxy.websockets.server_events import ServerEvent
from proxy.websockets.state import Ask, ConversationState, size_of
from proxy.websockets.turns import Turn, new_entry
from tokens.grant import Grant
from tokens.limits.values import NO_LIMITS, NOTHING, Estimate, Lease, LimitStore, LimitsUnavailableError
from usage.entry import UsageEntry
from usage.outcomes import Outcome
from usage.price_book import PriceBook


class TurnLedger:
    def __init__(
        self,
        grant: Grant,
        endpoint: Endpoint,
        connection: UsageEntry,
        state: ConversationState,
        *,
        limits: LimitStore,
        prices: PriceBook,
        running: RunningRequests,
        record: Callable[[UsageEntry], None],
    ) -> None:
        self.grant = grant
        self.state = state
        self._endpoint = endpoint
        self._judge = MessageJudge(endpoint, state, connection.note_shadow)
        self._connection = connection
        self._limits = limits
        self._prices = prices
        self._running = running
        self._record = record
        self.cut: Callable[[ProxyError], None] = _nothing_to_cut
        """Ends the conversation."""
        self._open = OpenTurns()

    @property
    def are_running(self) -> bool:
        return bool(self._open)

    def judge_size(self, data: str | bytes) -> None:
        """Raises RequestTooLarge."""
        self._judge.judge_size(self.grant.rules, size_of(data))

    def judge(self, event: ClientEvent) -> None:
        """Raises ProxyError where the token may not have what the client asks for."""
        if self.grant.rules is not None:
            self._judge.judge_event(self.grant.rules, event)
        if event.transcription_model:
            self._bill(Facts(model=event.transcription_model), 0).estimate()  # has it a price, if it must?

    async def begin(self, event: ClientEvent) -> str | None:
        """The client asks for a turn: take its share of the limits. What to tell the client if it may not."""
        ask = self.state.turn(event, for_limits=self.grant.counts_usage)
        entry = new_entry(self._connection, self.grant, ask.facts[-1].model)
        try:
            policy.check_alive(self.grant, time.time())  # of a token that dies only what runs may finish
            turn = await self._admit(entry, ask, event.event_id)
        except ProxyError as error:
            entry.outcome, entry.error_code, entry.status = Outcome.REFUSED, error.code, error.status
            self._record(entry)
            return error_event(error, event.event_id)
        turn.ask = ask
        return None

    def note_piece(self, kind: str, data: bytes) -> None:
        self._open.note_piece(kind, data)

    async def hear(self, event: ServerEvent) -> ProxyError | None:
        """What upstream says of turns. The error with which the conversation must end, if it must."""
        kind = event.kind
        if kind == server_events.BEGINS:
            return await self._begins(event)
        if kind in server_events.ENDS:
            return await self._ends(event)
        if kind == server_events.TRANSCRIBED:
            return await self._book(self.state.transcription_model, event.usage)
        if kind == server_events.FAILS:
            await self._fails(event.caused_by)
        else:
            self.state.told(event)
        return None

    async def end_all(self, outcome: Outcome) -> None:
        """The conversation is over, and nothing more will be heard of what was running."""
        for turn in self._open:
            await self._settle(turn, None, outcome)

    async def _begins(self, event: ServerEvent) -> ProxyError | None:
        if self._open.has_begun(event.response_id):
            return None
        turn = self._open.asked_for()
        if turn is not None:
            self._note_begun(turn, event.response_id)
            return None
        ask = self.state.turn(None, for_limits=True)
        entry = new_entry(self._connection, self.grant, ask.facts[-1].model)
        try:
            if self.grant.rules is not None:
                self._judge.judge_unasked_turn(self.grant.rules)
            self._note_begun(await self._admit(entry, ask), event.response_id)
        except ProxyError as error:
            # Upstream works on it already: what it has read is charged, and the end is near.
            await self._charge_refused(entry, ask, error)
            return error
        return None

    def _note_begun(self, turn: Turn, response_id: str) -> None:
        self._open.note_begun(turn, response_id)
        ask = turn.ask
        if ask is not None and ask.follows_session:
            # Upstream has answered all that was sent before: what the session is by now is certain.
            facts = msgspec.structs.replace(ask.facts[-1], model=self.state.model)
            turn.reprice(self._bill(facts, ask.size), facts.model)

    async def _ends(self, event: ServerEvent) -> ProxyError | None:
        turn = self._open.ended(event.response_id)
        self.state.told(event)
        if turn is None:
            return await self._book(self.state.model, event.usage)
        if not turn.response_id:
            self._note_begun(turn, event.response_id)
        is_free = event.has_failed and event.usage is None
        turn.entry.status = 200
        await self._settle(turn, event.usage, Outcome.COMPLETED, is_free=is_free)
        return await self._used_up()

    async def _fails(self, caused_by: str | None) -> None:
        """An event of the client's has failed: perhaps one that asked for a turn, which then never begins."""
        turn = self._open.failed(caused_by, is_realtime=self.state.is_realtime)
        if not self.state.failed(caused_by, turn.ask if turn else None) and turn is not None:
            turn.entry.status = 400
            await self._settle(turn, None, Outcome.COMPLETED, is_free=not turn.response_id)

    async def _book(self, model: str, usage: Usage | None) -> ProxyError | None:
        """Work that is done before we hear of it: what was said is written down, by a model of its own."""
        facts = Facts(model=model, is_stream=True)
        entry = new_entry(self._connection, self.grant, facts.model)
        entry.status = 200
        bill = self._bill(facts, 0)
        is_over = None
        try:
            bill.estimate()
            turn = await self._hold(entry, bill, NOTHING)
        except ProxyError as error:
            is_over = None if isinstance(error, RateLimitReached) else error
            entry.error_code = error.code
            turn = await self._hold_regardless(entry, bill)
        self._open.note_begun(turn, "")
        await self._settle(turn, usage, Outcome.CUT if is_over else Outcome.COMPLETED)
        return is_over or await self._used_up()

    async def _admit(self, entry: UsageEntry, ask: Ask, event_id: str | None = None) -> Turn:
        """With what it may cost at most, whichever it is. Raises ProxyError."""
        if self.grant.counts_usage and not all(facts.model for facts in ask.facts):
            raise model_unknown()
        bills = [self._bill(facts, ask.size) for facts in ask.facts]
        estimate = max(
            (bill.estimate() for bill in bills), key=lambda worst: (worst.microusd, worst.model_tokens)
        )
        return await self._hold(entry, bills[-1], estimate, event_id)

    async def _hold(
        self, entry: UsageEntry, bill: Bill, estimate: Estimate, event_id: str | None = None
    ) -> Turn:
        lease = await admission.acquire(self._limits, self.grant, entry.id, estimate)
        return self._enter(entry, lease, bill, event_id)

    async def _hold_regardless(self, entry: UsageEntry, bill: Bill) -> Turn:
        """For work that upstream has done, or does: it counts, whatever the limits are."""
        unlimited = tuple(replace(subject, limits=NO_LIMITS) for subject in self.grant.subjects)
        is_counted = True
        try:
            lease = await self._limits.acquire(entry.id, unlimited, NOTHING)
        except LimitsUnavailableError:
            lease, is_counted = Lease.of_nothing(entry.id, NOTHING, int(time.time() * 1000)), False
        turn = self._enter(entry, lease, bill)
        entry.is_admitted = is_counted
        return turn

    def _enter(self, entry: UsageEntry, lease: Lease, bill: Bill, event_id: str | None = None) -> Turn:
        turn = Turn(self.grant, lease, bill, entry, self._limits, self.cut, event_id)
        self._open.add(turn)
        self._running.add(turn)
        return turn

    async def _charge_refused(self, entry: UsageEntry, ask: Ask, error: ProxyError) -> None:
        entry.error_code = error.code
        turn = await self._hold_regardless(entry, self._bill(ask.facts[-1], ask.size))
        await self._settle(turn, None, Outcome.CUT)

    async def _settle(
        self, turn: Turn, usage: Usage | None, outcome: Outcome, *, is_free: bool = False
    ) -> None:
        await turn.settle(usage, outcome, is_free=is_free)
        # Until here it could be interrupted, and would be settled again.
        self._running.discard(turn)
        self._open.forget(turn)
        self._record(turn.entry)

    async def _used_up(self) -> ProxyError | None:
        """Whether a budget is spent, now that a turn is counted."""
        grant = self.grant
        return await used_up(self._limits, grant) if grant.has_budget else None

    def _bill(self, facts: Facts, size: int) -> Bill:
        return Bill(self.grant, self._endpoint, "POST", facts, size, self._prices)


def _nothing_to_cut(error: ProxyError) -> None:
    """Before there is a conversation."""

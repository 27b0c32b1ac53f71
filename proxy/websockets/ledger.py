"""The turns of one conversation: admitted, priced, settled and recorded, each like a request of its own."""

import time
from collections.abc import Callable

import msgspec

from projects.models import DeathPolicy
from proxy import policy
from proxy.endpoints import Endpoint
from proxy.errors import ProxyError, QuotaReached, RateLimitReached
from proxy.facts import Facts
from proxy.metering.usage import Usage
from proxy.running import RunningRequests
from proxy.websockets import server_events
from proxy.websockets.admission_desk import AdmissionDesk
from proxy.websockets.client_events import ClientEvent
from proxy.websockets.open_turns import OpenTurns
from proxy.websockets.refusals import check_own_model, error_event, used_up
from proxy.websockets.rules import MessageJudge, Statement
from proxy.websockets.server_events import ServerEvent
from proxy.websockets.state import Ask, ConversationState, size_of
from proxy.websockets.turns import Turn, new_entry
from tokens.grant import Grant
from tokens.limits.values import (
    LimitStore,
)
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
        self.state = state
        self._judge = MessageJudge(endpoint, state, connection.note_shadow)
        self.connection = connection
        self._limits = limits
        self._running = running
        self._record = record
        self.cut: Callable[[ProxyError], None] = _nothing_to_cut
        """Ends the conversation."""
        self._open = OpenTurns()
        self._desk = AdmissionDesk(
            grant, endpoint, self._open, limits, prices, running, cut=lambda error: self.cut(error)
        )
        self._was_guessed = False
        """Whether a turn was taken for failed that may yet begin."""

    @property
    def grant(self) -> Grant:
        return self._desk.grant

    @grant.setter
    def grant(self, grant: Grant) -> None:
        self._desk.grant = grant

    @property
    def are_running(self) -> bool:
        return bool(self._open)

    def judge_size(self, data: str | bytes) -> None:
        """Raises RequestTooLarge."""
        self._judge.judge_size(self.grant.rules, size_of(data))

    def judge(self, event: ClientEvent) -> Statement | None:
        """Raises ProxyError where the token may not have what the client asks for."""
        rules = self.grant.rules
        stated = self._judge.judge_event(rules, event) if rules is not None else None
        if event.transcription_model:
            self._desk.bill(
                Facts(model=event.transcription_model), 0
            ).estimate()  # has it a price, if it must?
        return stated

    async def begin(self, event: ClientEvent, stated: Statement | None) -> str | None:
        """The client asks for a turn: take its share of the limits. What to tell the client if it may not."""
        ask = self.state.turn(event, for_limits=self.grant.counts_usage)
        entry = new_entry(self.connection, self.grant, ask.facts[-1].model)
        try:
            policy.check_alive(self.grant, time.time())  # of a token that dies only what runs may finish
            if self.state.is_realtime:
                check_own_model(event, ask)
            turn = await self._desk.admit(entry, ask, event.event_id)
        except ProxyError as error:
            entry.outcome, entry.error_code, entry.status = Outcome.REFUSED, error.code, error.status
            self._record(entry)
            return error_event(error, event.event_id)
        turn.stated = stated
        self.state.sent(event.document)
        self.state.asked(event)
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
            model = self.state.transcription_model
            return await self._book(model, event.usage, self._refused_transcription(model))
        if kind == server_events.FAILS:
            await self._fails(event.caused_by)
            return None
        self.state.told(event)
        model = self.state.transcription_model
        return self._refused_transcription(model) if model else None

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
            return self._refused_beginning(turn.stated)
        ask = self.state.turn(None, for_limits=True)
        entry = new_entry(self.connection, self.grant, ask.facts[-1].model)
        try:
            if (error := self._refused_beginning(self._unstated())) is not None:
                raise error
            self._note_begun(await self._admit_unasked(entry, ask), event.response_id)
        except ProxyError as error:
            # Upstream works on it already: what it has read is charged, and the end is near.
            await self._charge_refused(entry, ask, error)
            return error
        return None

    def _unstated(self) -> Statement | None:
        """Of a turn that nobody has asked for."""
        return Statement(self.grant.rules) if self.grant.rules is not None else None

    def _refused_beginning(self, stated: Statement | None) -> ProxyError | None:
        """What the rules have against a turn, now that it begins. One that has no session was judged when it
        was asked for.
        """
        if stated is None or not self.state.is_realtime:
            return None
        try:
            self._judge.judge_beginning(stated)
        except ProxyError as error:
            return error
        return None

    def _refused_transcription(self, model: str) -> ProxyError | None:
        try:
            if self.grant.rules is not None:
                self._judge.judge_transcription(self.grant.rules, model)
        except ProxyError as error:
            return error
        return None

    def _note_begun(self, turn: Turn, response_id: str) -> None:
        self._open.note_begun(turn, response_id)
        ask = turn.ask
        if ask is not None and self.state.is_realtime:
            # Upstream has answered all that was sent before: what the session is by now is certain.
            facts = msgspec.structs.replace(ask.facts[-1], model=self.state.model)
            turn.reprice(self._desk.bill(facts, ask.size), facts.model)

    async def _ends(self, event: ServerEvent) -> ProxyError | None:
        turn = self._open.ended(event.response_id)
        self.state.told(event, turn.ask if turn is not None else None)
        if turn is None:
            model = self.state.model or (event.usage.model if event.usage is not None else "")
            return await self._book(model, event.usage, self._refused_beginning(self._unstated()))
        refused = None
        if not turn.response_id:
            self._note_begun(turn, event.response_id)
            refused = self._refused_beginning(turn.stated)
        is_free = event.has_failed and event.usage is None
        turn.entry.status = 200
        await self._settle(turn, event.usage, Outcome.COMPLETED, is_free=is_free)
        return refused or await self._used_up()

    async def _fails(self, caused_by: str | None) -> None:
        """An event of the client's has failed: perhaps one that asked for a turn, which then never begins."""
        turn = self._open.failed(caused_by, is_realtime=self.state.is_realtime)
        if not self.state.failed(caused_by, turn.ask if turn else None) and turn is not None:
            turn.entry.status = 400
            await self._settle(turn, None, Outcome.COMPLETED, is_free=not turn.response_id)
            self._was_guessed = caused_by is None and not turn.response_id

    async def _book(self, model: str, usage: Usage | None, refused: ProxyError | None) -> ProxyError | None:
        """Work that is done before we hear of it: what was said is written down, by a model of its own.
        `refused`: what the rules have against it.
        """
        facts = Facts(model=model, is_stream=True)
        entry = new_entry(self.connection, self.grant, facts.model)
        entry.status = 200
        bill = self._desk.bill(facts, 0)
        is_put_off = self.grant.death_policy is DeathPolicy.FINISH and len(self._open) > 0
        try:
            if refused is None:
                bill.estimate()
        except ProxyError as error:
            refused = error
        try:
            turn = await self._desk.hold(entry, bill)
        except ProxyError as error:
            entry.error_code = error.code
            turn = await self._desk.hold_regardless(entry, bill)
            if not is_put_off and not isinstance(error, RateLimitReached):
                refused = refused or error
        if refused is not None:
            entry.error_code = refused.code
        self._open.note_begun(turn, "")
        await self._settle(turn, usage, Outcome.CUT if refused else Outcome.COMPLETED)
        return refused or (None if is_put_off else await self._used_up())

    async def _admit_unasked(self, entry: UsageEntry, ask: Ask) -> Turn:
        """It may be one that was taken for failed: that has been counted."""
        is_counted, self._was_guessed = self._was_guessed, False
        try:
            return await self._desk.admit(entry, ask)
        except (RateLimitReached, QuotaReached):
            if not is_counted:
                raise
            return await self._desk.admit(entry, ask, only_costs=True)

    async def _charge_refused(self, entry: UsageEntry, ask: Ask, error: ProxyError) -> None:
        entry.error_code = error.code
        turn = await self._desk.hold_regardless(entry, self._desk.bill(ask.facts[-1], ask.size))
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


def _nothing_to_cut(error: ProxyError) -> None:
    """Before there is a conversation."""

"""One open WebSocket: messages pass both ways as they are, and what they say of models and turns is heard."""

import asyncio
import time
from collections.abc import Callable
from uuid import UUID

import aiohttp
import structlog

from projects.ruleset import Ruleset
from proxy import policy
from proxy.errors import BadRequest, ProxyError
from proxy.websockets import endings, server_events
from proxy.websockets.client import NO_CODE, SocketClient, SocketClosed
from proxy.websockets.client_events import TURN, ClientEvent, UnreadableEvent, read_event
from proxy.websockets.endings import Ending
from proxy.websockets.ledger import TurnLedger
from proxy.websockets.rules import Statement
from proxy.websockets.server_events import ServerEvent
from proxy.websockets.upstream import CLOSE_SECONDS, UpstreamSocket
from tokens.grant import Grant
from tokens.limits.values import NOTHING, Lease
from usage.entry import UsageEntry

HEAR_SECONDS = 1.5
"""How long the limits may take to answer for what upstream has done before the end."""

log = structlog.get_logger("proxy")


class Conversation:
    def __init__(
        self,
        socket_id: UUID,
        client: SocketClient,
        socket: UpstreamSocket,
        turns: TurnLedger,
        *,
        judge_handshake: Callable[[Ruleset], None],
        before_close: Callable[[Ending], None],
        idle_seconds: float,
    ) -> None:
        """`judge_handshake`: raises ProxyError where these rules, which are new, do not allow it.
        `before_close` notes how it ends, before the client is told.
        """
        self.lease = Lease.of_nothing(socket_id, NOTHING, int(time.time() * 1000))
        """The connection holds nothing of any limit; its turns do."""
        self._client = client
        self._socket = socket
        self._turns = turns
        turns.cut = self.cut
        self._judge_handshake = judge_handshake
        self._before_close = before_close
        self._idle_seconds = idle_seconds
        self._heard_at = time.monotonic()
        """When a message last came or went."""
        self._watch: asyncio.TimerHandle
        self._is_restarting = False
        self._is_cut = False
        """Whether the next event of upstream's was the last."""
        self._hearing: asyncio.Task[ProxyError | None] | None = None
        self._ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()

    @property
    def grant(self) -> Grant:
        return self._turns.grant

    @grant.setter
    def grant(self, grant: Grant) -> None:
        before, self._turns.grant = self._turns.grant.rules, grant
        if grant.rules is None or grant.rules == before:
            return
        try:
            self._judge_handshake(grant.rules)
        except ProxyError as error:
            self.cut(error)

    @property
    def entry(self) -> UsageEntry:
        return self._turns.connection

    @property
    def is_idle(self) -> bool:
        """Whether no turn is running that could be let end."""
        return not self._turns.are_running

    @property
    def _goes_on(self) -> bool:
        return not self._is_cut and not self._ending.done()

    def used_microusd(self) -> int:
        return 0

    def cut(self, error: ProxyError) -> None:
        self._end(endings.refused(error))

    def drain_no_more(self) -> None:
        self.restart()

    def interrupt(self) -> None:
        self._end(endings.restarting())

    def restart(self) -> None:
        """The server stops: end now, or after the turns that run."""
        self._is_restarting = True
        if self.is_idle:
            self._end(endings.restarting())

    async def run(self) -> None:
        """Until either side, or we, end it; then both sides are closed and all turns settled."""
        pumps = [asyncio.create_task(self._from_client()), asyncio.create_task(self._from_upstream())]
        self._watch_idleness()
        try:
            await asyncio.shield(self._ending)
        finally:
            self._end(endings.restarting())  # cancelled: the server stops, and waits no longer
            self._watch.cancel()
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            await self._close(self._ending.result())

    async def _hear_out(self) -> None:
        """What was heard when the end came."""
        if self._hearing is None or self._hearing.done():
            return
        try:
            await asyncio.wait([self._hearing], timeout=HEAR_SECONDS)
        finally:
            self._hearing.cancel()
        (problem,) = await asyncio.gather(self._hearing, return_exceptions=True)
        if isinstance(problem, Exception):
            log.error("websocket failed", request_id=str(self.lease.id), exc_info=problem)

    async def _close(self, ending: Ending) -> None:
        """The turns first: what the client sees end is recorded. Upstream last."""
        try:
            await self._hear_out()
            await self._turns.end_all(ending.turn_outcome)
        except asyncio.CancelledError:  # the server waits no longer: but for what they have cost
            await self._turns.end_all(ending.turn_outcome)
            raise
        finally:
            try:
                self._before_close(ending)
                await self._client.close(ending.code, ending.reason)
            finally:
                await self._socket.close(ending.upstream_code)

    def _end(self, ending: Ending) -> None:
        """The first end counts."""
        if not self._ending.done():
            self._ending.set_result(ending)

    async def _from_client(self) -> None:
        try:
            while self._goes_on:
                data = await self._client.next()
                if not self._goes_on:
                    return
                self._heard_at = time.monotonic()
                if await self._may_pass(data) and self._goes_on:
                    await self._socket.send(data)
                    self._heard_at = time.monotonic()
        except SocketClosed as closed:
            self._end(endings.by_client(closed))
        except (aiohttp.ClientError, ConnectionError):
            self._end(endings.upstream_broke_off())
        except Exception:  # the task's edge: without it the other direction would wait for ever
            log.exception("websocket failed", request_id=str(self.lease.id))
            self._end(endings.failed())

    async def _may_pass(self, data: str | bytes) -> bool:
        """Whether upstream may see it. If not, the client has been told why, or the end has come."""
        try:
            self._turns.judge_size(data)
            event = read_event(data)
            stated = self._turns.judge(event) if event is not None else None
        except UnreadableEvent as problem:
            self.cut(BadRequest(str(problem)))
            return False
        except ProxyError as error:
            self.cut(error)
            return False
        if event is not None and event.kind == TURN:
            return await self._begin_turn(event, stated)
        self._turns.state.sent(data)
        if event is not None:
            self._turns.state.asked(event)
        return True

    async def _begin_turn(self, event: ClientEvent, stated: Statement | None) -> bool:
        refusal = await self._turns.begin(event, stated)
        if refusal is None:
            return True
        await self._client.send(refusal)
        return False

    async def _from_upstream(self) -> None:
        try:
            while self._goes_on:
                message = await self._socket.receive()
                self._heard_at = time.monotonic()
                match message.type:
                    case aiohttp.WSMsgType.TEXT:
                        await self._pass_event(message.data, message.data.decode())
                    case aiohttp.WSMsgType.BINARY:
                        await self._pass_event(message.data, message.data)
                    case aiohttp.WSMsgType.CLOSE:
                        self._end(endings.by_upstream(message.data or NO_CODE, message.extra or ""))
                        return
                    case _:
                        self._end(endings.upstream_broke_off())
                        return
                self._heard_at = time.monotonic()
        except (aiohttp.ClientError, ConnectionError, UnicodeDecodeError):
            self._end(endings.upstream_broke_off())
        except Exception:  # the task's edge: without it the other direction would wait for ever
            log.exception("websocket failed", request_id=str(self.lease.id))
            self._end(endings.failed())

    async def _pass_event(self, data: bytes, as_sent: str | bytes) -> None:
        """What ends a turn is counted before the client can see it."""
        kind = server_events.kind_of(data)
        if kind not in server_events.SEEN:
            self._turns.note_piece(kind, data)
            await self._client.send(as_sent)
            return
        error = await self._hear(server_events.read_event(kind, data))
        if error is not None:
            await self._send_last(as_sent)
            self.cut(error)
            return
        await self._client.send(as_sent)
        if self.is_idle:
            self._end_if_over()

    async def _hear(self, event: ServerEvent) -> ProxyError | None:
        """What upstream has done is booked, also if the end comes meanwhile."""
        self._hearing = asyncio.create_task(self._turns.hear(event))
        return await asyncio.shield(self._hearing)

    async def _send_last(self, as_sent: str | bytes) -> None:
        """The event behind which the connection is cut, if the client reads it in time. From here on nothing
        passes any more.
        """
        self._is_cut = True
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._client.send(as_sent)
        except TimeoutError:
            pass

    def _end_if_over(self) -> None:
        """Between two turns: what was put off until the last has ended."""
        if self._is_restarting:
            self._end(endings.restarting())
            return
        try:
            policy.check_alive(self.grant, time.time())
        except ProxyError as error:
            self.cut(error)

    def _watch_idleness(self) -> None:
        left = self._heard_at + self._idle_seconds - time.monotonic()
        if left > 0:
            self._watch = asyncio.get_running_loop().call_later(left, self._watch_idleness)
        else:
            self._end(endings.idle(self._idle_seconds))

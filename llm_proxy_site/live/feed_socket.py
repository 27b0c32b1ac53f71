"""The WebSocket of the page that shows requests as they happen.

It says a `Message` at a time and hears a `Wish`. Who opened it is looked at again every WATCH_SECONDS: it
ends with their session, and shows what they may see by then.
"""

import asyncio
from uuid import uuid4

import msgspec
import structlog
from django.db import Error

from llm_proxy_site.live.visitor import Visitor, find_visitor, is_from_our_page
from llm_proxy_site.server import lifecycle
from proxy.runtime import Runtime
from proxy.types import Receive, Scope, Send
from proxy.websockets.client import POLICY, RESTART, SocketClient, SocketClosed
from usage.live.audience import TooManyViewersError
from usage.live.viewer import Viewer
from usage.live.wish import read_wish

WATCH_SECONDS = 5.0
PATIENCE_SECONDS = 10.0
"""How long the database has to say who it is."""
MAX_WISH = 4096
"""Characters."""
INVALID, TRY_AGAIN = 1007, 1013

log = structlog.get_logger("server")


class _Ended(Exception):
    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


async def serve(scope: Scope, receive: Receive, send: Send) -> None:
    can_refuse = "websocket.http.response" in scope.get("extensions", {})
    client = SocketClient(receive, send, can_refuse=can_refuse)
    if not is_from_our_page(scope):
        await _refuse(client, 403, "This feed is for the admin site's own page.")
        return
    try:
        visitor = await _look_at(scope)
        if visitor is None:
            await _refuse(client, 403, "Sign in as staff who may view usage records.")
            return
        await _Feed(scope, client, Viewer(visitor.project_ids)).run()
    except TooManyViewersError:
        await _refuse(client, 503, "Too many pages watch.")
    except (Error, TimeoutError) as problem:
        log.error("who watches requests cannot be read", error=str(problem))
        await _refuse(client, 503, "The database does not answer.")


class _Feed:
    """One that is open."""

    def __init__(self, scope: Scope, client: SocketClient, viewer: Viewer) -> None:
        self._scope = scope
        self._client = client
        self._viewer = viewer
        self._is_restarting = asyncio.Event()

    def restart(self) -> None:
        """The server stops."""
        self._is_restarting.set()

    async def run(self) -> None:
        """Until either side ends it. Raises TooManyViewersError, before it is open."""
        runtime, socket_id = Runtime.current(), uuid4()
        runtime.feed.enter(self._viewer)
        runtime.sockets.add(socket_id, self)
        try:
            await self._client.accept(None, [])
            await self._serve()
        finally:
            runtime.sockets.discard(socket_id)
            runtime.feed.leave(self._viewer)

    async def _serve(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                for work in (self._hear, self._tell, self._watch, self._end_with_the_server):
                    tasks.create_task(work())
        except* SocketClosed:
            pass
        except* _Ended as ends:
            end = ends.exceptions[0]
            assert isinstance(end, _Ended)
            await self._client.close(end.code, end.reason)

    async def _hear(self) -> None:
        while True:
            text = await self._client.next()
            try:
                if len(text) > MAX_WISH:
                    raise _Ended(INVALID, "That is too long.")
                self._viewer.wants(read_wish(text))
            except msgspec.DecodeError:
                raise _Ended(INVALID, "That is not understood.") from None

    async def _tell(self) -> None:
        """Waits while the page does not read; meanwhile rows wait with the viewer, which drops the oldest."""
        while True:
            await self._client.send((await self._viewer.next()).decode())

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if lifecycle.is_leaving():
                self.restart()
            try:
                visitor = await _look_at(self._scope)
            except (Error, TimeoutError):
                raise _Ended(TRY_AGAIN, "The database does not answer.") from None
            if visitor is None:
                raise _Ended(POLICY, "The session has ended, or may not see requests any more.")
            self._viewer.may_see(visitor.project_ids)

    async def _end_with_the_server(self) -> None:
        await self._is_restarting.wait()
        raise _Ended(RESTART, "The server restarts.")


async def _look_at(scope: Scope) -> Visitor | None:
    """Raises django.db.Error and TimeoutError."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await Runtime.current().database.in_spare_thread(find_visitor, scope)


async def _refuse(client: SocketClient, status: int, why: str) -> None:
    await client.answer(status, [(b"content-type", b"text/plain; charset=utf-8")], f"{why}\n".encode())

"""The client's side of one request: its body as it comes, our answer as it goes, and its hang-up."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from proxy.errors import ProxyError
from proxy.events_sent import EventsSent, is_plain_event_stream
from proxy.incoming import ClientDisconnected, Incoming
from proxy.tracing.trace import Trace
from proxy.types import Headers, Message, Receive, Send

WATCH_AFTER_SECONDS = 0.05
"""So long after its body a request is watched for the client's hang-up."""
CUT_AFTER_SECONDS = 0.5
"""So long may a stream take to come to the end of an event, and its client to read why it is cut."""


class Client(Incoming):
    """Reads the body first; once it is read, waits for the hang-up."""

    trace: Trace | None = None
    """What the request notes for its trace; None: there are no traces."""

    def __init__(self, receive: Receive, send: Send, *, max_body_bytes: int) -> None:
        super().__init__(receive, max_body_bytes=max_body_bytes)
        self.status: int | None = None
        """What we answered; None until we did."""
        self.sent_bytes = 0
        self.drain_seconds = 0
        """How long the request goes on without its client; 0: the hang-up ends it."""
        self.is_gone = False
        """Whether the client has hung up and the request goes on."""
        self._has_left = False
        """Whether the rest of the body will not come."""
        self.first_byte_seconds: float | None = None
        self.head_seconds: float | None = None
        """When the head of our answer went out."""
        self.before_end: Callable[[int], None] = _nothing_to_do
        """Called with the number of bytes that go out next, where they may be the end to the client."""
        self.rewrite: Callable[[Headers], Headers] | None = None
        """What becomes of the headers of every answer; None: they stay as they are."""
        self.write_on: Callable[[bytes], Awaitable[object] | None] | None = None
        """Takes a part of a body that is not its last, past `send`. Gives what to await, if anything."""
        self._began = time.perf_counter()
        self._send = send
        self._has_ended = False
        self._events: EventsSent | None = None
        self._pending_cut: ProxyError | None = None
        self._cut_timer: asyncio.TimerHandle | None = None
        self._drain_timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._watcher: asyncio.Future[Message] | None = None
        self._watch_timer: asyncio.TimerHandle | None = None

    def elapsed_seconds(self) -> float:
        """Since the request began."""
        return time.perf_counter() - self._began

    def failure_cancels(self) -> "_FailureCancels":
        """Within, a hang-up cancels what the current task awaits and becomes ClientDisconnected; a cut does
        so with its error. Raises ClientDisconnected at once where the client has left before.
        """
        return _FailureCancels(self)

    def cut(self, error: ProxyError) -> None:
        """End the running request with this error: now, or where it can be said, between two events."""
        if self.is_gone:
            self._fail(ClientDisconnected())
        if self.is_gone or self._pending_cut is not None:
            return
        if self._events is None or self._events.is_between:
            self._fail(error)
            return
        self._pending_cut = error
        self._cut_timer = asyncio.get_running_loop().call_later(CUT_AFTER_SECONDS, self._fail, error)

    def hung_up(self) -> None:
        """The rest of the body will not come: for a server that sees it while nobody reads, for upstream does
        not take what has come.
        """
        if not self.body_ended:
            self._has_left = True
            self._fail(ClientDisconnected())

    def expire(self, error: ProxyError) -> None:
        """Upstream has had all its time: the request ends with this error, wherever its answer stands."""
        self._fail(error)

    def drain_no_more(self) -> None:
        """From here on the request ends with the hang-up; now, if that has been. Not for the request's own
        task, which would be cancelled where it does not wait.
        """
        self.drain_seconds = 0
        if self.is_gone:
            self._fail(ClientDisconnected())

    def forget_failure(self) -> None:
        """The request is over. An error that was raised has the frames that it has passed, and they have the
        client and the body: all of them would wait for the collector.
        """
        if self.failure is not None:
            self.failure.with_traceback(None).__context__ = None
            self.failure = None

    def announce_end(self, coming_bytes: int = 0) -> None:
        """What goes out next may be the end to the client. To one that has gone it is none, and where a cut
        is due, that is the end.
        """
        if not self.is_gone and self._pending_cut is None:
            self.before_end(coming_bytes)

    async def start(self, status: int, headers: Headers) -> None:
        if self.is_gone:
            return
        self.status = status
        self.head_seconds = self.elapsed_seconds()
        if self.rewrite is not None:
            headers = self.rewrite(headers)
        self._events = EventsSent() if is_plain_event_stream(headers) else None
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, chunk: bytes, *, is_last: bool = False) -> None:
        """Send a part of the answer; waits while the client reads slower than we write.

        Raises the error of a cut that has waited for the end of an event.
        """
        if self.is_gone:
            return
        if self._events is not None:
            if self._pending_cut is not None:
                chunk, is_last = self._events.up_to_end(chunk), False
            self._events.note(chunk)
        if is_last:
            self._unwatch()  # servers announce the end of an answer as they announce a hang-up
            self._has_ended = True
        if self.first_byte_seconds is None:
            self.first_byte_seconds = self.elapsed_seconds()
        self.sent_bytes += len(chunk)
        if is_last or self.write_on is None:
            await self._send({"type": "http.response.body", "body": chunk, "more_body": not is_last})
        elif (taken := self.write_on(chunk)) is not None:
            await taken
        if self._pending_cut is not None and self._events is not None and self._events.is_between:
            raise self._failed(self._pending_cut)

    async def end(self) -> None:
        self._unwatch()
        self._has_ended = True
        if not self.is_gone:
            self.before_end(0)  # if it was not announced, for a cut was due
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def refuse(self, error: ProxyError, *more_headers: tuple[bytes, bytes]) -> None:
        """Say what is wrong: as the answer, or at the end of a stream of events that has begun.

        Raises ConnectionAbortedError where neither is possible: an answer that has begun must not look whole.
        """
        if self._has_ended or self.is_gone:
            return
        if self.status is not None:
            await self._end_with(error)
            return
        body = error.body()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            *error.headers(),
            *more_headers,
        ]
        self.status = error.status
        self.before_end(len(body))
        await self.start(error.status, headers)
        self.sent_bytes += len(body)
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def _end_with(self, error: ProxyError) -> None:
        if self._events is None or not self._events.is_between:
            raise ConnectionAbortedError(error.message)
        self._pending_cut = None
        event = error.event()
        self.before_end(len(event))
        try:
            async with asyncio.timeout(CUT_AFTER_SECONDS):
                await self.write(event)
        except TimeoutError:
            raise ConnectionAbortedError(error.message) from None  # the client does not read
        await self.end()

    def _body_is_read(self) -> None:
        self._watch_soon()

    def _cancel_with_failure(self) -> None:
        if self._has_left:
            raise self._failed(ClientDisconnected())
        self._task = asyncio.current_task()
        if self.body_ended:
            self._watch_soon()

    def _raise_what_cancelled(self) -> None:
        """If it was the failure that has cancelled the current task."""
        task = asyncio.current_task()
        if self.failure is not None and task is not None:
            task.uncancel()
            raise self.failure from None

    def _watch_soon(self) -> None:
        # A task for an answer that is over in a moment would be a waste.
        if self._task is not None and self._watch_timer is None:
            self._watch_timer = asyncio.get_running_loop().call_later(WATCH_AFTER_SECONDS, self._watch)

    def _watch(self) -> None:
        self._watcher = asyncio.ensure_future(self._receive())
        self._watcher.add_done_callback(self._hung_up)

    def _unwatch(self) -> None:
        self._task = None
        for waiting in (self._watch_timer, self._cut_timer, self._drain_timer, self._watcher):
            if waiting is not None:
                waiting.cancel()

    def _hung_up(self, watcher: asyncio.Future[Message]) -> None:
        if watcher.cancelled() or watcher.exception():
            return
        if not self.drain_seconds or self._pending_cut is not None:
            self._fail(ClientDisconnected())
            return
        self.is_gone = True
        loop = asyncio.get_running_loop()
        self._drain_timer = loop.call_later(self.drain_seconds, self._fail, ClientDisconnected())

    def _fail(self, failure: ClientDisconnected | ProxyError) -> None:
        if self._task is not None and self.failure is None:
            self.failure = failure
            self._task.cancel()


class _FailureCancels:
    """Not made by contextlib: a frame of its own would hold the cancellation, whose traceback would hold that
    frame, and the body with them would wait for the collector.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def __enter__(self) -> None:
        self._client._cancel_with_failure()

    def __exit__(self, kind: type[BaseException] | None, raised: BaseException | None, where: object) -> None:
        self._client._unwatch()
        if isinstance(raised, asyncio.CancelledError):
            self._client._raise_what_cancelled()


def _nothing_to_do(coming_bytes: int) -> None:
    """Where nobody wants to know."""

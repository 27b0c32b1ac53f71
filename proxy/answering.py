"""Upstream's side of a connection, on aiohttp's: an answer that breaks off is never taken for one that has
ended or goes on, and what nobody has asked for never for an answer.
"""

import aiohttp
from aiohttp.client_proto import ResponseHandler


class AnsweringProtocol(ResponseHandler):
    is_idle = False
    """Whether no request is on it. What comes then would be taken for the answer to the next one, and the
    answer to that for the answer to the one behind it, whoever asks.
    """

    def data_received(self, data: bytes) -> None:
        if self.is_idle and data:
            if self.transport is not None:
                self.transport.abort()
            return
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        if exc is not None:  # without, it may be how an answer of no declared length ends
            self._break_off(aiohttp.ClientPayloadError(f"the connection broke off: {type(exc).__name__}"))
        super().connection_lost(exc)

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        """To whoever waits for the head of an answer, and whoever reads its body: aiohttp tells the first."""
        self._break_off(exc)
        super().set_exception(exc, *cause)

    def _break_off(self, exc: BaseException) -> None:
        body = self._payload
        if body is not None and not body.is_eof() and body.exception() is None:
            body.set_exception(exc)

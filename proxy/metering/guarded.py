"""A meter that fails must not fail the request: it becomes deaf, and the log says so once."""

from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

import structlog

from proxy.metering.background import Work
from proxy.metering.meter import Deaf, Meter
from proxy.metering.silence import Silence
from proxy.metering.usage import Usage

T = TypeVar("T")

log = structlog.get_logger("proxy")


class Guarded:
    def __init__(self, meter: Meter, request_id: UUID, silence: Silence) -> None:
        """`silence` learns of each piece of output."""
        self.heard_bytes = 0
        """Of the answer, as it came."""
        self.pieces = 0
        self.has_ended = False
        self._meter = meter
        self._request_id = request_id
        self._silence = silence

    @property
    def is_cut_off(self) -> bool:
        return self._ask(lambda meter: meter.is_cut_off, otherwise=False)

    def feed(self, chunk: bytes) -> None:
        meter = self._meter
        self.heard_bytes += len(chunk)
        try:
            meter.feed(chunk)
            if meter.pieces != self.pieces:
                self._silence.heard()
            self.pieces, self.has_ended = meter.pieces, meter.has_ended
        except Exception:  # whatever upstream sends, and whatever we make of it: its bytes must pass
            log.exception("meter failed", request_id=str(self._request_id))
            self._meter = Deaf()

    def finish(self) -> Usage | None:
        return self._ask(lambda meter: meter.finish(), otherwise=None)

    def work(self) -> Work | None:
        return self._ask(lambda meter: meter.work(), otherwise=None)

    def reported(self) -> bytes:
        return self._meter.reported()

    def model(self) -> str:
        return self._ask(lambda meter: meter.model(), otherwise="")

    def finish_reasons(self) -> tuple[str, ...]:
        return self._ask(lambda meter: meter.finish_reasons(), otherwise=())

    def _ask(self, question: Callable[[Meter], T], *, otherwise: T) -> T:
        try:
            return question(self._meter)
        except Exception:  # as above: the request is over, and must be settled
            log.exception("meter failed", request_id=str(self._request_id))
            self._meter = Deaf()
            return otherwise

"""A meter that fails must not fail the request: it becomes deaf, and the log says so once."""

from uuid import UUID

import structlog

from proxy.metering.background import Work
from proxy.metering.meter import Deaf, Meter
from proxy.metering.silence import Silence
from proxy.metering.usage import Usage

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
        try:
            return self._meter.is_cut_off
        except Exception:  # as below
            log.exception("meter failed", request_id=str(self._request_id))
            self._meter = Deaf()
            return False

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
        try:
            return self._meter.finish()
        except Exception:  # as above: the request is over, and must be settled
            log.exception("meter failed", request_id=str(self._request_id))
            self._meter = Deaf()
            return None

    def work(self) -> Work | None:
        try:
            return self._meter.work()
        except Exception:  # as above
            log.exception("meter failed", request_id=str(self._request_id))
            self._meter = Deaf()
            return None

    def reported(self) -> bytes:
        return self._meter.reported()

    def model(self) -> str:
        try:
            return self._meter.model()
        except Exception:  # as above
            log.exception("meter failed", request_id=str(self._request_id))
            self._meter = Deaf()
            return ""

    def finish_reasons(self) -> tuple[str, ...]:
        try:
            return self._meter.finish_reasons()
        except Exception:  # as above
            log.exception("meter failed", request_id=str(self._request_id))
            self._meter = Deaf()
            return ()

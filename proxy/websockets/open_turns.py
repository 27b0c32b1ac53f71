"""The turns of a conversation that hold something of the limits, and which of them an event of upstream's is
about. Pure.
"""

from collections import deque
from collections.abc import Iterator
from itertools import count
from uuid import UUID

from proxy.websockets import server_events
from proxy.websockets.turns import Turn

MAX_REMEMBERED = 64
"""Responses that have ended."""


class OpenTurns:
    def __init__(self) -> None:
        self._open: dict[UUID, Turn] = {}
        """In the order in which they were asked for."""
        self._begun: dict[str, Turn] = {}
        """Of these, by upstream's id of the response, those that upstream has begun."""
        self._ended: deque[str] = deque(maxlen=MAX_REMEMBERED)
        """Responses that are settled. One may have been taken for failed, and its end come yet."""
        self._unnamed = count(1)

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Turn]:
        return iter(list(self._open.values()))

    def add(self, turn: Turn) -> None:
        self._open[turn.lease.id] = turn

    def forget(self, turn: Turn) -> None:
        self._open.pop(turn.lease.id, None)
        if self._begun.pop(turn.response_id, None) is not None:
            self._ended.append(turn.response_id)

    def note_begun(self, turn: Turn, response_id: str) -> None:
        turn.response_id = response_id or f"unnamed {next(self._unnamed)}"
        self._begun[turn.response_id] = turn

    def has_begun(self, response_id: str) -> bool:
        return response_id in self._begun

    def asked_for(self) -> Turn | None:
        """The first that was sent upstream, and has not begun there yet."""
        return next((turn for turn in self if not turn.response_id), None)

    def ended(self, response_id: str) -> Turn | None:
        """An end whose beginning was not heard of is that of the first which has not begun."""
        if response_id in self._ended:
            return None
        turn = self._begun.get(response_id) or self.asked_for()
        if turn is None and not response_id:
            turn = next(iter(self._begun.values()), None)
        return turn

    def failed(self, caused_by: str | None, *, is_realtime: bool) -> Turn | None:
        """The one that an error is about; `caused_by` is the id of the client's event."""
        if not is_realtime and caused_by is None:
            return next(iter(self), None)  # one at a time, and an error is its end
        turns = (turn for turn in self if turn.event_id == caused_by)
        if is_realtime:
            turns = (turn for turn in turns if not turn.response_id)
        return next(turns, None)

    def note_piece(self, kind: str, data: bytes) -> None:
        """An event that neither begins nor ends a turn has passed."""
        if not kind.endswith(".delta") or not self._begun:
            return
        turn = next(iter(self._begun.values()))
        if len(self._begun) > 1:
            turn = self._begun.get(server_events.response_id_in(data), turn)
        turn.note_piece(len(data), is_audio=kind in server_events.AUDIO_PIECES)

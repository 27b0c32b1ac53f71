"""How this worker is, written to the board now and then, so that whichever worker is asked can tell."""

import time
from typing import TYPE_CHECKING

from prometheus_client import ProcessCollector
from prometheus_client.registry import CollectorRegistry

from proxy.breaker import State
from proxy.metrics.board import Board
from proxy.metrics.catalogue import BREAKERS, CAPTURES, NONE, TOTALS, WORKER, WorkerFacts

if TYPE_CHECKING:
    from proxy.runtime import Runtime

REFRESH_SECONDS = 2.0
STATES = {State.CLOSED: 0.0, State.HALF_OPEN: 1.0, State.OPEN: 2.0}


class WorkerState:
    def __init__(self, board: Board, number: int) -> None:
        self._board = board
        self._number = number
        self._place = board.place(WORKER, ())
        self._totals = board.place(TOTALS, ())
        self._captures = board.place(CAPTURES, ())
        self._process = ProcessCollector(registry=CollectorRegistry())
        self._started_at = time.time()
        self._cpu_seconds = 0.0
        self._lost = 0
        self._dropped_captures = 0

    def refresh(self, runtime: "Runtime") -> None:
        """On the event loop."""
        facts = self._facts(runtime)
        for index, value in enumerate(facts):
            self._board.values[self._place + index] = value
        self.add_totals(runtime)
        self._write_breakers(runtime)

    def _facts(self, runtime: "Runtime") -> WorkerFacts:
        active_requests, active_streams = runtime.running.counts()
        process = {family.name: family.samples[0].value for family in self._process.collect()}
        return WorkerFacts(
            number=self._number,
            active_requests=active_requests,
            active_streams=active_streams,
            active_websockets=len(runtime.sockets),
            spool_records=runtime.spool.pending,
            spool_bytes=runtime.spool.used_bytes,
            memory_records=runtime.ledger.memory_records,
            ledger_lag_seconds=runtime.ledger.lag_seconds,
            database_up=not runtime.reach.is_away,
            limits_store_up=not runtime.limits.is_away,
            resident_memory_bytes=process.get("process_resident_memory_bytes", 0),
            open_files=process.get("process_open_fds", 0),
            start_time_seconds=self._started_at,
        )

    def add_totals(self, runtime: "Runtime") -> None:
        """What others have added in this place stays: they may be dead."""
        cpu_seconds, lost = time.process_time(), runtime.ledger.lost
        self._board.values[self._totals] += cpu_seconds - self._cpu_seconds
        self._board.values[self._totals + 1] += lost - self._lost
        self._cpu_seconds, self._lost = cpu_seconds, lost
        dropped = runtime.captures.dropped + runtime.capture_writer.lost
        self._board.values[self._captures] += dropped - self._dropped_captures
        self._dropped_captures = dropped

    def _write_breakers(self, runtime: "Runtime") -> None:
        states = {
            (breaker.base_url, str(breaker.key_id) if breaker.key_id else NONE): STATES[breaker.state]
            for breaker in runtime.upstreams.snapshot()
        }
        for place in self._board.places(BREAKERS).values():
            self._board.values[place] = 0.0
        for labels, state in states.items():
            place = self._board.place(BREAKERS, labels)
            self._board.values[place] = max(state, self._board.values[place])

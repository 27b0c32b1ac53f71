"""`serve --workers N`: the process that listens, and keeps N workers that answer.

It is small: no Django, no database, no requests. What can fail is in the workers, and those are replaced.
SIGTERM and SIGINT end all of them within their grace, a second signal at once, a third kills; SIGHUP replaces
them one after the other, each only when its successor is ready.
"""

import asyncio
import os
import signal
import socket
import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import structlog

from llm_proxy_site.addresses import Address, parse_address
from llm_proxy_site.logs import configure, logging_config, mark_lines
from llm_proxy_site.server.orders import Order
from llm_proxy_site.server.worker import STOP_SECONDS, Worker
from proxy.metrics.board import open_memory

BACKLOG = 1024
"""Connections that wait to be accepted."""
FIRST_ATTEMPTS = 3
"""If no worker became ready in so many at each number, the set-up is bad and not the day."""
LAST_WORDS_SECONDS = 5.0
"""For a worker that did not become ready to say why, and end."""
MOST_SIGNALS = 2
"""To end; who sends another does not want to wait for anything."""
LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 10.0
"""A worker that lived for so long did not fail at its start."""

log = structlog.get_logger("supervisor")


@dataclass(eq=False)
class Supervisor:
    """Keeps a worker at each number, from 1."""

    command: list[str]
    listening: socket.socket
    count: int
    counts_descriptor: int
    """Of the memory in which workers count for /metrics: it must outlive each of them."""
    exit_code: int = 0
    _current: dict[int, Worker] = field(default_factory=dict)
    _all: set[Worker] = field(default_factory=set)
    _keepers: dict[int, asyncio.Task[None]] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _rolls_wanted: int = 0
    """The one that runs, and one more, if it was asked for meanwhile."""
    _retired: list[list[Worker]] = field(default_factory=list)
    """By each of the last rolls."""
    _signals: int = 0
    _ending: asyncio.Event = field(default_factory=asyncio.Event)
    _ready: set[int] = field(default_factory=set)
    """The numbers at which a worker was ready once."""
    _failures: Counter[int] = field(default_factory=Counter)
    """Workers that ended before any was ready, at each number."""

    async def run(self) -> int:
        """Until all workers have ended. The exit code."""
        loop = asyncio.get_running_loop()
        for ending in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(ending, self._signalled)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        for number in range(1, self.count + 1):
            self._keepers[number] = self._begin(self._keep(number))
        await self._ending.wait()
        self.listening.close()  # nobody must wait in a queue that nobody serves
        await self._cancel(list(self._tasks))
        ends = await asyncio.gather(
            *(self._stop(worker) for worker in list(self._all)), return_exceptions=True
        )
        for problem in filter(None, ends):
            log.error("worker could not be stopped", exc_info=problem)
            self.exit_code = 1
        log.info("stopped")
        return self.exit_code

    async def _keep(self, number: int, worker: Worker | None = None) -> None:
        """See that there is a worker at this number, beginning with the given one, until it is cancelled."""
        failures = 0
        while True:
            if worker is None:
                worker = await self._start(number)
                if worker is None:
                    failures += 1
                    await asyncio.sleep(_pause(failures))
                    continue
            began = asyncio.get_running_loop().time()
            self._current[number] = worker
            code = await self._watch(worker)
            lived = asyncio.get_running_loop().time() - began
            failures = 0 if lived > STEADY_SECONDS else failures + 1
            log.error(
                "worker has ended, it is replaced", worker=number, worker_pid=worker.pid, exit_code=code
            )
            worker = None
            await asyncio.sleep(_pause(failures - 1))

    async def _start(self, number: int) -> Worker | None:
        """A worker that is ready; None if it was not to be had, which is logged."""
        try:
            worker = await Worker.start(number, self.command, self.listening, self.counts_descriptor)
        except OSError as problem:
            log.error("worker cannot be started", worker=number, error=str(problem))
            self._note_failure(number)
            return None
        self._all.add(worker)
        try:
            if await worker.becomes_ready():
                log.info("worker is ready", worker=number, worker_pid=worker.pid)
                self._note_ready(number)
                return worker
            code = await worker.ends_within(LAST_WORDS_SECONDS)
        except asyncio.CancelledError:
            worker.kill()
            await self._watch(worker)
            raise
        self._all.discard(worker)
        log.error("worker did not start", worker=number, worker_pid=worker.pid, exit_code=code)
        self._note_failure(number)
        return None

    async def _watch(self, worker: Worker) -> int:
        code = await worker.ended()
        self._all.discard(worker)
        return code

    def _note_ready(self, number: int) -> None:
        is_first = number not in self._ready
        self._ready.add(number)
        if is_first and len(self._ready) == self.count:
            host, port = self.listening.getsockname()[:2]
            with suppress(OSError):  # nobody reads it any more
                print(f"LLM Proxy on http://{Address(host, port)}", flush=True)  # noqa: T201 (as `serve` says it)

    def _note_failure(self, number: int) -> None:
        self._failures[number] += 1
        fewest = min(self._failures[each] for each in range(1, self.count + 1))
        if not self._ready and fewest >= FIRST_ATTEMPTS:
            log.error("no worker starts, giving up", attempts=self._failures.total())
            self.exit_code = 1
            self._ending.set()

    def _hung_up(self) -> None:
        """SIGHUP. During a roll many are as one: it has begun with what was there before."""
        self._rolls_wanted = min(self._rolls_wanted + 1, 2)
        if self._rolls_wanted == 1:
            self._begin(self._roll_on())

    async def _roll_on(self) -> None:
        while self._rolls_wanted and not self._ending.is_set():
            await self._end_oldest()
            await self._roll()
            self._rolls_wanted -= 1

    async def _end_oldest(self) -> None:
        """Whom the roll before the last has replaced has had its time: else each signal costs memory anew."""
        oldest = [worker for retired in self._retired[:-1] for worker in retired if worker in self._all]
        self._retired = [*self._retired[-1:], []]
        await asyncio.gather(*(_hurry(worker) for worker in oldest))

    async def _roll(self) -> None:
        """Replace every worker. The first that does not become ready ends it, and the others stay."""
        log.info("restarting the workers", workers=self.count)
        for number in range(1, self.count + 1):
            successor = await self._start(number)
            if successor is None:
                log.error("the restart has stopped: the new worker does not start, the old ones go on")
                return
            self._replace(number, successor)
        log.info("the workers are restarted", workers=self.count)

    def _replace(self, number: int, successor: Worker) -> None:
        self._keepers[number].cancel()
        self._keepers[number] = self._begin(self._keep(number, successor))
        old = self._current.get(number)
        if old in self._all:
            self._retired[-1].append(old)
            self._begin(self._retire(old))

    async def _retire(self, worker: Worker) -> None:
        worker.tell(Order.RETIRE)
        assert worker.grace is not None
        grace = worker.grace.restart + worker.grace.stop
        code = await worker.ends_within(grace + STOP_SECONDS)
        self._all.discard(worker)
        log.info("old worker has ended", worker=worker.number, worker_pid=worker.pid, exit_code=code)

    async def _stop(self, worker: Worker) -> None:
        if worker.grace is None:  # a restart has just killed it, while it was starting
            await worker.ended()
            return
        worker.tell(Order.STOP)
        code = await worker.ends_within(worker.grace.stop + STOP_SECONDS)
        if code:
            log.error("worker did not end well", worker=worker.number, worker_pid=worker.pid, exit_code=code)
            self.exit_code = 1

    def _signalled(self) -> None:
        self._signals += 1
        if not self._ending.is_set():
            log.info("stopping", workers=len(self._all))
            self._ending.set()
            return
        log.warning("stopping at once")
        for worker in list(self._all):
            worker.tell(Order.QUIT)
            if self._signals > MOST_SIGNALS:
                worker.kill()

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def _cancel(self, tasks: list[asyncio.Task[None]]) -> None:
        """What starts workers has killed those that were not ready, when this returns."""
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A supervisor that fails must not leave workers that nobody watches."""
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("supervisor failed", exc_info=task.exception())
            self.exit_code = 1
            self._ending.set()


async def _hurry(worker: Worker) -> None:
    assert worker.grace is not None
    worker.tell(Order.STOP)
    await worker.ends_within(worker.grace.stop + STOP_SECONDS)


def listen(address: Address) -> socket.socket:
    """Raises OSError if the address cannot be had."""
    listening = socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address.host, address.port))
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def main(arguments: list[str]) -> int:
    parser = ArgumentParser(prog="supervisor", description=__doc__)
    parser.add_argument("--bind", type=parse_address, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--log-level", required=True)
    parser.add_argument("--log-format", required=True)
    parser.add_argument("command", nargs="+", help="what starts a worker")
    options = parser.parse_args(arguments)
    configure(logging_config(level=options.log_level, style=options.log_format))
    mark_lines(process="supervisor", pid=os.getpid())
    try:
        listening = listen(options.bind)
    except OSError as problem:
        sys.stderr.write(f"CommandError: Cannot listen on {options.bind}: {problem.strerror}.\n")
        return 1
    return asyncio.run(_supervise(options.command, listening, options.workers))


async def _supervise(command: list[str], listening: socket.socket, count: int) -> int:
    return await Supervisor(command, listening, count, open_memory(count)).run()


def _pause(failures: int) -> float:
    """Before the next attempt, after so many that failed at once: none after the first death."""
    return min(LONGEST_PAUSE_SECONDS, 0.5 * 2.0 ** (failures - 1)) if failures > 0 else 0.0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""This process's spool: records are appended on the event loop, and read back by the ledger's thread.

Appending is one write() to a file, without waiting for the disk: it outlives the process, not the machine's
power. Where it fails, the caller is told so and keeps the record itself; it is tried again a second later.
"""

import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Generator
from pathlib import Path

import structlog

from usage.entry import UsageEntry
from usage.spool.frames import frame
from usage.spool.lock import SpoolLock
from usage.spool.records import NotSpoolableError, encode
from usage.spool.segments import LOCK_SUFFIX, SUFFIX, Segment, Segments, orphans

SEGMENT_BYTES = 4 * 1024 * 1024
SEGMENT_SECONDS = 60.0
"""A younger segment is appended to even if all in it is dealt with."""
RETRY_SECONDS = 1.0
ALARM_SHARE = 0.8

log = structlog.get_logger("usage")


class SpoolFullError(OSError):
    pass


class Spool:
    def __init__(self, directory: Path, *, max_bytes: int, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._id = secrets.token_hex(8)
        self._mutex = threading.Lock()
        self._owner: SpoolLock | None = None
        self._segments: deque[Segment] = deque()
        self._reader = Segments(self._segments)
        self._descriptor = -1
        self._count = 0
        self._began_at = 0.0
        self._used_bytes = 0
        """Of the directory, by all processes: when it was looked at, and what was appended since."""
        self._retry_at = 0.0
        self._is_alarmed = False
        self.problem = ""
        """Why nothing can be appended now; empty: it can."""
        self.pending = 0
        """Records that are not dealt with."""

    @property
    def state(self) -> str:
        """For people: empty if all is well."""
        if self.problem:
            return f"usage is kept in memory: {self.problem}"
        if self._is_alarmed:
            return f"{self._used_bytes * 100 // self._max_bytes} % full"
        return ""

    def append(self, entry: UsageEntry) -> bool:
        """Whether it is on disk now. Never raises."""
        try:
            data = frame(encode(entry))
        except NotSpoolableError:
            return False
        with self._mutex:
            if self.problem and time.monotonic() < self._retry_at:
                return False
            try:
                self._append(data)
            except OSError as problem:
                self._fail(problem)
                return False
            self.pending += 1
        if self.problem:
            self.problem = ""
            log.info("usage can be spooled again")
        return True

    def peek(self, most: int) -> list[UsageEntry]:
        return self._reader.peek(most)

    def take(self, count: int) -> None:
        with self._mutex:
            self.pending -= count
        self._reader.take(count)

    def reject(self) -> None:
        self._reader.reject()

    def orphans(self) -> Generator[Segments]:
        """What dead processes have left. Raises OSError."""
        return orphans(self._directory, but_of=self._id)

    def look(self) -> None:
        """Now and then: how much of the disk is used, and whether a segment has become old."""
        with self._mutex:
            if self._descriptor >= 0 and time.monotonic() - self._began_at > SEGMENT_SECONDS:
                self._end_segment()
            self._used_bytes = _size_of(self._directory)
        is_alarming = self._used_bytes >= self._max_bytes * ALARM_SHARE
        if is_alarming and not self._is_alarmed:
            log.error(
                "the spool is almost full: usage cannot be written to the database",
                used_bytes=self._used_bytes,
                max_bytes=self._max_bytes,
            )
        self._is_alarmed = is_alarming

    def sync(self) -> None:
        """Make what was appended outlive the machine's power, too. Raises OSError."""
        with self._mutex:
            descriptor = os.dup(self._descriptor) if self._descriptor >= 0 else -1
        if descriptor >= 0:
            try:
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)

    def close(self) -> None:
        """What is not dealt with stays for the process that comes next. Raises OSError."""
        with self._mutex:
            self._end_segment()
        if not self.pending:
            self._reader.peek(1)  # which deletes what is dealt with
        if self._owner is not None:
            self._owner.release(delete=not self._segments)
            self._owner = None

    def _append(self, data: bytes) -> None:
        if self._used_bytes + len(data) > self._max_bytes:
            raise SpoolFullError("SPOOL_MAX_BYTES is reached")
        if self._descriptor < 0:
            self._begin_segment()
        segment = self._segments[-1]
        written = os.write(self._descriptor, data)
        if written < len(data):
            raise SpoolFullError("the disk is full")
        segment.size += len(data)
        self._used_bytes += len(data)
        if segment.size >= self._segment_bytes:
            self._end_segment()

    def _begin_segment(self) -> None:
        if self._owner is None:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._owner = SpoolLock.take(self._directory / f"{self._id}{LOCK_SUFFIX}")
            if self._owner is None:
                raise BlockingIOError("somebody holds the lock")
        path = self._directory / f"{self._id}.{self._count:06}{SUFFIX}"
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._count += 1
        self._began_at = time.monotonic()
        self._segments.append(Segment(path, is_open=True))

    def _end_segment(self) -> None:
        if self._descriptor < 0:
            return
        os.close(self._descriptor)
        self._descriptor = -1
        self._segments[-1].is_open = False

    def _fail(self, problem: OSError) -> None:
        if not self.problem:
            log.error("usage cannot be spooled, it is kept in memory", error=str(problem))
        self.problem = problem.strerror or str(problem)
        self._retry_at = time.monotonic() + RETRY_SECONDS
        if self._descriptor >= 0:
            try:
                os.ftruncate(self._descriptor, self._segments[-1].size)
            except OSError:
                self._end_segment()  # with half a record at its end, which nobody reads


def _size_of(directory: Path) -> int:
    sizes = 0
    for path in directory.glob(f"*{SUFFIX}"):
        try:
            sizes += path.stat().st_size
        except FileNotFoundError:
            continue  # its process has dealt with it
    return sizes

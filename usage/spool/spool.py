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
from contextlib import suppress
from pathlib import Path

import structlog

from usage.entry import UsageEntry
from usage.spool.frames import frame
from usage.spool.lock import SpoolLock
from usage.spool.records import NotSpoolableError, encode
from usage.spool.segments import LOCK_SUFFIX, REJECTED_SUFFIX, SUFFIX, Segment, Segments, orphans

SEGMENT_BYTES = 4 * 1024 * 1024
SEGMENT_SECONDS = 60.0
"""A younger segment is appended to even if all in it is dealt with, unless there is no room for more."""
RETRY_SECONDS = 1.0
ALARM_SHARE = 0.8
LEAST_SEGMENTS = 16
"""Of the smallest spool: what is dealt with is deleted by segments."""
PROBE = bytes(512)

log = structlog.get_logger("usage")


class SpoolFullError(OSError):
    pass


class Spool:
    def __init__(self, directory: Path, *, max_bytes: int, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._segment_bytes = min(segment_bytes, max_bytes // LEAST_SEGMENTS)
        self._id = secrets.token_hex(8)
        self._mutex = threading.Lock()
        self._owner: SpoolLock | None = None
        self._segments: deque[Segment] = deque()
        self._reader = Segments(self._segments)
        self._descriptor = -1
        self._segment: Segment | None = None
        """That is appended to; the reader may have put it off."""
        self._count = 0
        self._began_at = 0.0
        self._used_bytes = 0
        """Of the directory, by all processes: when it was looked at, and what was appended since."""
        self._retry_at = 0.0
        self._is_alarmed = False
        self._rejected_files = 0
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
        if unreadable := self._reader.unreadable:
            return f"files that cannot be read now: {unreadable}"
        if self._rejected_files:
            return f"files with records that could not be used (*{REJECTED_SUFFIX}): {self._rejected_files}"
        return ""

    @property
    def used_bytes(self) -> int:
        """Of all processes that share its directory, as far as this one knows."""
        return self._used_bytes

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
        self._works_again()
        return True

    def peek(self, most: int) -> list[UsageEntry]:
        entries = self._reader.peek(most)
        if missed := self._reader.missed():
            with self._mutex:
                self.pending -= missed
        return entries

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
        """Now and then: how much of the disk is used, whether a segment is old or takes the room that is
        missing for nothing, and whether it can be written again.
        """
        used_bytes = _size_of(self._directory)  # not while the event loop waits for us
        with self._mutex:
            self._used_bytes = used_bytes
            is_old = time.monotonic() - self._began_at > SEGMENT_SECONDS
            is_in_the_way = bool(self.problem) and not self.pending
            if self._descriptor >= 0 and (is_old or is_in_the_way):
                self._end_segment()
        self._rejected_files = sum(1 for _ in self._directory.glob(f"*{REJECTED_SUFFIX}"))
        is_alarming = self._used_bytes >= self._max_bytes * ALARM_SHARE
        if is_alarming and not self._is_alarmed:
            log.error(
                "the spool is almost full: usage cannot be written to the database",
                used_bytes=self._used_bytes,
                max_bytes=self._max_bytes,
            )
        self._is_alarmed = is_alarming
        if self.problem and self._can_be_written():
            self._works_again()

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
            self._owner.release(delete=self._reader.is_empty)
            self._owner = None

    def _append(self, data: bytes) -> None:
        if self._used_bytes + len(data) > self._max_bytes:
            self._end_segment()  # so that it is deleted once it is dealt with
            raise SpoolFullError("SPOOL_MAX_BYTES is reached")
        if self._segment is not None and self._segment.is_lost:
            self._end_segment()
        segment = self._segment or self._begin_segment()
        written = os.write(self._descriptor, data)
        if written < len(data):
            raise SpoolFullError("the disk is full")
        segment.records += 1
        segment.size += len(data)
        self._used_bytes += len(data)
        if segment.size >= self._segment_bytes:
            self._end_segment()

    def _works_again(self) -> None:
        if self.problem:
            self.problem = ""
            log.info("usage can be spooled again")

    def _can_be_written(self) -> bool:
        """Found out with a file of its own, for perhaps no request comes."""
        if self._used_bytes + len(PROBE) > self._max_bytes:
            return False
        path = self._directory / f"{self._id}.probe"
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                return path.write_bytes(PROBE) == len(PROBE)
            finally:
                path.unlink(missing_ok=True)
        except OSError:
            return False

    def _begin_segment(self) -> Segment:
        if self._owner is not None and not self._owner.is_there:  # somebody has deleted the directory
            self._owner.release(delete=False)
            self._owner = None
        if self._owner is None:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._owner = SpoolLock.take(self._directory / f"{self._id}{LOCK_SUFFIX}")
            if self._owner is None:
                raise BlockingIOError("somebody holds the lock")
        path = self._directory / f"{self._id}.{self._count:06}{SUFFIX}"
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._count += 1
        self._began_at = time.monotonic()
        self._segment = Segment(path, is_open=True)
        self._segments.append(self._segment)
        return self._segment

    def _end_segment(self) -> None:
        """Raises OSError; it is ended all the same."""
        descriptor, segment = self._descriptor, self._segment
        self._descriptor, self._segment = -1, None
        if segment is not None:
            segment.is_open = False
        if descriptor >= 0:
            os.close(descriptor)

    def _fail(self, problem: OSError) -> None:
        if not self.problem:
            log.error("usage cannot be spooled, it is kept in memory", error=str(problem))
        self.problem = problem.strerror or str(problem)
        self._retry_at = time.monotonic() + RETRY_SECONDS
        if self._segment is not None:
            try:
                os.ftruncate(self._descriptor, self._segment.size)
            except OSError:
                with suppress(OSError):
                    self._end_segment()  # with half a record at its end, which nobody reads


def _size_of(directory: Path) -> int:
    sizes = 0
    for path in directory.glob(f"*{SUFFIX}"):
        try:
            sizes += path.stat().st_size
        except FileNotFoundError:
            continue  # its process has dealt with it
    return sizes

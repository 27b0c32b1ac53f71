"""The segment files of one process, read in order. A segment is deleted when all in it is dealt with; one in
which something could not be read, or written to the database, is kept aside as `.rejected`. A file that
cannot be read now holds up none of the others.
"""

import time
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from usage.entry import UsageEntry
from usage.spool.frames import MAX_FRAME_BYTES, read_frames
from usage.spool.lock import SpoolLock
from usage.spool.records import decode

READ_BYTES = 2 * MAX_FRAME_BYTES
"""At least one whole record."""
SUFFIX, LOCK_SUFFIX, REJECTED_SUFFIX = ".spool", ".lock", ".rejected"
REREAD_SECONDS = 10.0
"""How often a file is tried again that could not be read."""

log = structlog.get_logger("usage")


@dataclass(slots=True)
class Segment:
    path: Path
    size: int = 0
    """So much of it is written."""
    position: int = 0
    """Up to here all is dealt with."""
    is_open: bool = False
    """Whether more will be appended."""
    is_lost: bool = False
    """Whether somebody has deleted it: nothing more must be appended."""
    records: int = 0
    """That were appended to it; 0 if that was not by us."""
    taken: int = 0
    torn_bytes: int = 0
    damaged_bytes: int = 0
    rejected_records: int = 0


@dataclass(slots=True)
class _Batch:
    """What was read of a segment, and is not dealt with yet."""

    entries: list[UsageEntry] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    position: int = 0
    torn_bytes: int = 0
    damaged_bytes: int = 0
    unreadable_records: int = 0


class Segments:
    def __init__(self, segments: deque[Segment]) -> None:
        self._segments = segments
        self._unreadable: deque[Segment] = deque()
        self._reread_at = 0.0
        self._batch = _Batch()
        self._missed = 0

    @property
    def unreadable(self) -> int:
        """Files that cannot be read now. From any thread."""
        return len(self._unreadable)

    @property
    def is_empty(self) -> bool:
        return not self._segments and not self._unreadable

    def peek(self, most: int) -> list[UsageEntry]:
        """The first records that are not dealt with; none: all are that can be read."""
        self._try_again()
        while self._segments:
            segment = self._segments[0]
            is_open = segment.is_open  # before its size: more may come until it is closed
            if segment.position >= segment.size:
                if is_open:
                    break
                self._finish(segment)
                continue
            try:
                self._batch = _read(segment, most)
            except OSError as problem:
                self._put_off(segment, problem)
                continue
            if self._batch.entries:
                return self._batch.entries
            self.take(0)
        return []

    def take(self, count: int) -> None:
        """So many of the records that were read are dealt with."""
        segment, batch = self._segments[0], self._batch
        segment.taken += count
        if count < len(batch.entries):
            segment.position = batch.ends[count - 1] if count else segment.position
            # Noted at once: the rest may be read anew, from behind them.
            segment.damaged_bytes += batch.damaged_bytes
            segment.rejected_records += batch.unreadable_records
            batch.damaged_bytes = batch.unreadable_records = 0
            batch.entries, batch.ends = batch.entries[count:], batch.ends[count:]
            return
        segment.position = batch.position
        segment.torn_bytes += batch.torn_bytes
        segment.damaged_bytes += batch.damaged_bytes
        segment.rejected_records += batch.unreadable_records
        self._batch = _Batch()

    def missed(self) -> int:
        """How many records were in what is finished, and could not be read; each is told once."""
        missed, self._missed = self._missed, 0
        return missed

    def _try_again(self) -> None:
        if self._unreadable and time.monotonic() >= self._reread_at:
            self._segments.extendleft(reversed(self._unreadable))
            self._unreadable.clear()

    def _put_off(self, segment: Segment, problem: OSError) -> None:
        log.error("a spool file cannot be read", file=segment.path.name, error=str(problem))
        self._segments.popleft()
        segment.is_lost = isinstance(problem, FileNotFoundError)
        if segment.is_lost and not segment.is_open:
            self._missed += max(0, segment.records - segment.taken)
            return
        if not self._unreadable:
            self._reread_at = time.monotonic() + REREAD_SECONDS
        self._unreadable.append(segment)

    def reject(self) -> None:
        """The first of the records that were read cannot be written: the file is kept, for people."""
        self._segments[0].rejected_records += 1

    def _finish(self, segment: Segment) -> None:
        self._segments.popleft()
        self._missed += max(0, segment.records - segment.taken)
        try:
            _put_away(segment)
        except FileNotFoundError:
            pass  # somebody has deleted it
        except OSError as problem:  # whoever adopts it finds that all of it is written
            log.error("a spool file cannot be put away", file=segment.path.name, error=str(problem))


def _put_away(segment: Segment) -> None:
    """Raises OSError."""
    if segment.torn_bytes:
        log.warning(
            "a spool file ended within a record, which is cut off",
            file=segment.path.name,
            bytes=segment.torn_bytes,
        )
    if not (segment.damaged_bytes or segment.rejected_records):
        segment.path.unlink()
        return
    aside = segment.path.with_suffix(REJECTED_SUFFIX)
    log.error(
        "a spool file had records that could not be used, it is kept aside",
        file=aside.name,
        damaged_bytes=segment.damaged_bytes,
        rejected_records=segment.rejected_records,
    )
    segment.path.rename(aside)


def orphans(directory: Path, *, but_of: str) -> Generator[Segments]:
    """What dead processes have left, one process after the other, held by us meanwhile. What cannot be opened
    of one holds up none of the others. Raises OSError where the directory cannot be read.
    """
    for owner in sorted(_owners(directory) - {but_of}):
        try:
            yield from _left_by(directory, owner)
        except OSError as problem:
            log.error("what a process has left in the spool cannot be read", owner=owner, error=str(problem))


def _left_by(directory: Path, owner: str) -> Generator[Segments]:
    lock = SpoolLock.take(directory / f"{owner}{LOCK_SUFFIX}")
    if lock is None:
        return
    is_empty = False
    try:
        if segments := _segments_of(directory, owner):
            yield Segments(segments)
        is_empty = not _segments_of(directory, owner)
    finally:
        lock.release(delete=is_empty)


def _owners(directory: Path) -> set[str]:
    return {path.name.split(".")[0] for path in directory.glob("*.*") if path.suffix in (SUFFIX, LOCK_SUFFIX)}


def _segments_of(directory: Path, owner: str) -> deque[Segment]:
    paths = sorted(directory.glob(f"{owner}.*{SUFFIX}"))
    return deque(Segment(path, size=path.stat().st_size) for path in paths)


def _read(segment: Segment, most: int) -> _Batch:
    with segment.path.open("rb") as file:
        file.seek(segment.position)
        wanted = min(READ_BYTES, segment.size - segment.position)
        data = file.read(wanted)
    if not data:  # somebody has cut it
        return _Batch(position=segment.size, damaged_bytes=segment.size - segment.position)
    start = segment.position
    is_end = len(data) < wanted or start + len(data) >= segment.size  # somebody may have cut it here
    found = read_frames(data, most, is_end=is_end)
    batch = _Batch(
        position=start + found.position, torn_bytes=found.torn_bytes, damaged_bytes=found.damaged_bytes
    )
    for payload, end in zip(found.payloads, found.ends, strict=True):
        entry = decode(payload)
        if entry is None:
            batch.unreadable_records += 1
        else:
            batch.entries.append(entry)
            batch.ends.append(start + end)
    return batch

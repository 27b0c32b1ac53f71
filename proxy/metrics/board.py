"""Numbers in memory that outlives whoever counts them. All workers of a supervisor share it; each writes to a
region of its own, and whoever is asked adds up all of them.

A region is held by a lock that dies with its worker, and is then taken on, numbers and all, by the next one:
so no count is lost, and there are never more regions than workers lived at a time.
"""

import fcntl
import mmap
import os
import struct
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import structlog

REGION_BYTES = 1024 * 1024
"""Only what is used of it is memory. It never changes: a restart puts newer workers beside older ones."""
SPARE_REGIONS = 8
_USED = struct.Struct("=Q")
"""At the beginning: how much of the region is used."""
_HEAD = struct.Struct("=II")
"""Of a block: the lengths of its name, in bytes, and of its values."""
_DOUBLE = 8
_NOWHERE = REGION_BYTES - 4096
"""What finds no room is counted here, and read by nobody."""

log = structlog.get_logger("proxy")


@dataclass(frozen=True, slots=True)
class Kind:
    """Of blocks: values under the same labels."""

    name: str
    labels: tuple[str, ...]
    values: tuple[str, ...]
    most: int
    """Blocks of a region: whose labels come later are counted under `rest`."""
    is_of_now: bool = False
    """Whether the values say how things are, and nothing once their worker has died."""

    signature: str = field(init=False)
    """Workers of different versions add up only what means the same to both."""
    rest: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        meaning = zlib.crc32(repr((self.labels, self.values)).encode())
        object.__setattr__(self, "signature", f"{self.name}.{meaning:x}")
        object.__setattr__(self, "rest", ("other",) * len(self.labels))


class Block(NamedTuple):
    region: int
    signature: str
    labels: tuple[str, ...]
    values: tuple[float, ...]
    is_held: bool
    """Whether the worker that has written it lives."""


def open_memory(workers: int) -> int:
    """The descriptor of memory for so many, and for three times as many while one restart follows another."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("llm-proxy-metrics")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, (3 * workers + SPARE_REGIONS) * REGION_BYTES)
    return descriptor


class Board:
    def __init__(self, memory: mmap.mmap, region: int = 0, descriptor: int | None = None) -> None:
        """`region` is ours, by a lock on `descriptor`, if others share it."""
        self._memory = memory
        self._region = region
        self._descriptor = descriptor
        self._begin = region * REGION_BYTES
        self._places: dict[tuple[str, tuple[str, ...]], int] = {}
        self._counts: Counter[str] = Counter()
        self._is_full = False
        self.values = memoryview(memory).cast("d")
        """All of them, by the places that `place` names."""
        for block, place in self._blocks(region):
            self._note(block.signature, block.labels, place)

    @classmethod
    def of_one(cls) -> "Board":
        """Of a process that shares it with nobody."""
        return cls(mmap.mmap(-1, REGION_BYTES))

    @classmethod
    def shared(cls, descriptor: int) -> "Board":
        """In memory that `open_memory` has made. Not to be called twice by a process: the lock is its own."""
        size = os.fstat(descriptor).st_size
        for region in range(size // REGION_BYTES):
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, region)
            except OSError:
                continue
            return cls(mmap.mmap(descriptor, size), region, descriptor)
        log.error("there is no room for the counts of this worker, /metrics lacks them")
        return cls.of_one()

    def place(self, kind: Kind, labels: tuple[str, ...]) -> int:
        """Where the first value of this block is. Places stay what they are."""
        signature = kind.signature
        found = self._places.get((signature, labels))
        if found is not None:
            return found
        if self._counts[signature] >= kind.most and labels != kind.rest:
            return self.place(kind, kind.rest)
        return self._append(signature, labels, len(kind.values))

    def places(self, kind: Kind) -> dict[tuple[str, ...], int]:
        """Of all our blocks of a kind, by labels."""
        return {labels: place for (name, labels), place in self._places.items() if name == kind.signature}

    def read(self) -> Iterator[Block]:
        """What all have written. From any thread."""
        for region in range(len(self._memory) // REGION_BYTES):
            for block, _ in self._blocks(region):
                yield block

    def _append(self, signature: str, labels: tuple[str, ...], count: int) -> int:
        name = msgspec.json.encode([signature, *labels])
        at = self._used(self._region)
        values_at = at + _padded(_HEAD.size + len(name))
        end = values_at + count * _DOUBLE
        if end > _NOWHERE:
            if not self._is_full:
                self._is_full = True
                log.error("there is no room for more counts, /metrics lacks some")
            return (self._begin + _NOWHERE) // _DOUBLE
        _HEAD.pack_into(self._memory, self._begin + at, len(name), count)
        name_at = self._begin + at + _HEAD.size
        self._memory[name_at : name_at + len(name)] = name
        place = (self._begin + values_at) // _DOUBLE
        for index in range(place, place + count):  # of who died while it wrote here
            self.values[index] = 0.0
        _USED.pack_into(self._memory, self._begin, end)  # last: now others read it
        self._note(signature, labels, place)
        return place

    def _note(self, signature: str, labels: tuple[str, ...], place: int) -> None:
        self._places[signature, labels] = place
        self._counts[signature] += 1

    def _used(self, region: int) -> int:
        used: int = _USED.unpack_from(self._memory, region * REGION_BYTES)[0]
        return used or _USED.size

    def _blocks(self, region: int) -> Iterator[tuple[Block, int]]:
        begin, at, used = region * REGION_BYTES, _USED.size, self._used(region)
        is_held = at < used and self._is_held(region)
        while at < used:
            name_bytes, count = _HEAD.unpack_from(self._memory, begin + at)
            name_at = begin + at + _HEAD.size
            values_at = at + _padded(_HEAD.size + name_bytes)
            place = (begin + values_at) // _DOUBLE
            signature, *labels = msgspec.json.decode(
                self._memory[name_at : name_at + name_bytes], type=list[str]
            )
            values = tuple(self.values[place : place + count])
            yield Block(region, signature, tuple(labels), values, is_held), place
            at = values_at + count * _DOUBLE

    def _is_held(self, region: int) -> bool:
        if self._descriptor is None or region == self._region:
            return True  # to try our own lock would give it up
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, region)
        except OSError:
            return True
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, region)
        return False


def _padded(length: int) -> int:
    return -(-length // _DOUBLE) * _DOUBLE

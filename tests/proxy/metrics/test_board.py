"""What several processes count in one memory: their sum is there, whoever lives and whoever has died."""

import fcntl
import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from proxy.metrics import board as board_module
from proxy.metrics.board import REGION_BYTES, Board, Kind, open_memory
from tests.live import NOT_MEASURED

COUNTS = Kind("counts", ("name",), ("first", "second"), most=3)
STATE = Kind("state", (), ("level",), most=1, is_of_now=True)
ROOT = Path(__file__).resolve().parents[3]

WORKER = """
import sys
from proxy.metrics.board import Board, Kind
COUNTS = Kind("counts", ("name",), ("first", "second"), most=3)
board = Board.shared(int(sys.argv[1]))
board.values[board.place(COUNTS, (sys.argv[2],))] += int(sys.argv[3])
print("counted", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def memory() -> Iterator[int]:
    descriptor = open_memory(1)
    yield descriptor
    os.close(descriptor)


class Process:
    """Counts, and lives until it is killed."""

    def __init__(self, memory: int, name: str, count: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(memory), name, str(count)],
            cwd=ROOT,
            pass_fds=(memory,),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **NOT_MEASURED},
        )
        assert self._process.stdout.readline() == b"counted\n"

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


def seen(memory: int) -> list[tuple[int, str, float, bool]]:
    """By one more process: this one, which counts nothing."""
    size = os.fstat(memory).st_size
    last = size // REGION_BYTES - 1
    fcntl.lockf(memory, fcntl.LOCK_EX, 1, last)
    board = Board(mmap.mmap(memory, size), last, memory)
    return [(block.region, block.labels[0], block.values[0], block.is_held) for block in board.read()]


def test_what_the_dead_have_counted_is_taken_on_by_the_next(memory: int) -> None:
    one, two = Process(memory, "a", 1), Process(memory, "b", 10)
    assert seen(memory) == [(0, "a", 1, True), (1, "b", 10, True)]
    one.kill()
    assert seen(memory) == [(0, "a", 1, False), (1, "b", 10, True)]
    three = Process(memory, "a", 100)
    assert seen(memory) == [(0, "a", 101, True), (1, "b", 10, True)]
    for process in (two, three):
        process.kill()
    assert seen(memory) == [(0, "a", 101, False), (1, "b", 10, False)]


def test_labels_beyond_the_most_are_counted_together() -> None:
    board = Board.of_one()
    for name in "abcdef":
        board.values[board.place(COUNTS, (name,))] += 1
    assert {block.labels[0]: block.values[0] for block in board.read()} == {
        "a": 1,
        "b": 1,
        "c": 1,
        "other": 3,
    }


def test_places_stay_and_begin_at_nothing() -> None:
    board = Board.of_one()
    place = board.place(COUNTS, ('ä\n"',))
    board.values[place] += 2
    assert board.place(COUNTS, ('ä\n"',)) == place
    assert board.place(STATE, ()) != place
    assert [(block.labels, block.values) for block in board.read()] == [(('ä\n"',), (2, 0)), ((), (0,))]
    assert board.places(COUNTS) == {('ä\n"',): place}


def test_a_full_board_goes_on_and_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_module, "_NOWHERE", 4096)
    many = Kind("many", ("name",), tuple(map(str, range(100))), most=1000)
    board = Board.of_one()
    with capture_logs() as logs:
        for number in range(20):
            board.values[board.place(many, (str(number),))] += 1
    assert len(logs) == 1
    assert 1 < len(list(board.read())) < 6
    assert all(block.values[0] == 1 for block in board.read())


def test_what_means_something_else_is_another_kind() -> None:
    other = Kind("counts", ("name",), ("first", "third"), most=3)
    assert other.signature != COUNTS.signature

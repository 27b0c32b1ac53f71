import errno
import os
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from uuid_utils.compat import uuid7

from usage.entry import Finished, UsageEntry
from usage.outcomes import Outcome
from usage.spool import segments as segments_module
from usage.spool import spool as spool_module
from usage.spool.frames import MAX_PAYLOAD_BYTES, frame
from usage.spool.records import decode, encode
from usage.spool.segments import Segment
from usage.spool.spool import Spool

MIB = 1024 * 1024


def entry(**fields: Any) -> UsageEntry:
    values = {"id": uuid7(), "started_at": 1.5, "method": "POST", "path": "/v1/x", "token_id": uuid7()}
    return UsageEntry(**(values | fields))


def open_spool(directory: Path, **options: Any) -> Spool:
    return Spool(directory, **({"max_bytes": MIB} | options))


def read_all(source: Any) -> list[UsageEntry]:
    """All that is there, dealt with."""
    found = []
    while batch := source.peek(3):
        found += batch
        source.take(len(batch))
    return found


def left_by_the_dead(directory: Path, *entries: UsageEntry) -> Path:
    """A segment of a process that is no more."""
    directory.mkdir(exist_ok=True)
    path = directory / "dead.000000.spool"
    path.write_bytes(b"".join(frame(encode(each)) for each in entries))
    return path


def adopt(spool: Spool) -> list[UsageEntry]:
    return [each for orphan in spool.orphans() for each in read_all(orphan)]


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_record_is_read_back_as_it_was(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    used = entry(model="gpt-4o", input_tokens=3)
    entries = [
        entry(outcome=Outcome.CUT, cost_microusd=None, first_byte_seconds=0.5, model="é"),
        entry(work_id="resp_1", begins_work=True),
        entry(work_id="resp_1", finished=Finished(used, cached_audio_tokens=1)),
        entry(work_id="resp_2", finished=Finished(None)),
    ]
    assert all(map(spool.append, entries))

    assert read_all(spool) == entries
    assert spool.pending == 0


def test_nothing_is_left_of_a_process_that_ended_well(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    spool.append(entry())
    read_all(spool)
    spool.close()

    assert names(tmp_path) == []


def test_what_is_not_dealt_with_stays_for_the_next_process(tmp_path: Path) -> None:
    spool, entries = open_spool(tmp_path), [entry() for _ in range(5)]
    assert all(map(spool.append, entries))
    assert spool.peek(10) == entries
    spool.close()

    assert adopt(open_spool(tmp_path)) == entries
    assert names(tmp_path) == []


def test_the_living_are_left_alone(tmp_path: Path) -> None:
    living = open_spool(tmp_path)
    living.append(entry())

    assert adopt(open_spool(tmp_path)) == []
    assert len(read_all(living)) == 1


def test_what_the_dead_have_left_is_taken_by_one(tmp_path: Path) -> None:
    left_by_the_dead(tmp_path, entry())
    first, second = open_spool(tmp_path), open_spool(tmp_path)
    for orphan in first.orphans():
        assert adopt(second) == []
        assert len(read_all(orphan)) == 1

    assert adopt(second) == []


def test_segments_are_deleted_one_by_one(tmp_path: Path) -> None:
    spool, entries = open_spool(tmp_path, segment_bytes=300), [entry() for _ in range(20)]
    assert all(map(spool.append, entries))
    most = len(list(tmp_path.glob("*.spool")))
    assert most > 5
    assert spool.peek(3)
    spool.take(3)
    spool.peek(3)

    assert len(list(tmp_path.glob("*.spool"))) < most
    assert read_all(spool) == entries[3:]


def test_a_batch_may_be_dealt_with_in_parts(tmp_path: Path) -> None:
    spool, entries = open_spool(tmp_path), [entry() for _ in range(4)]
    assert all(map(spool.append, entries))
    spool.peek(4)
    for _ in range(3):
        spool.take(1)

    assert spool.peek(4) == entries[3:]


def test_an_old_segment_gives_way_to_a_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "SEGMENT_SECONDS", 0.0)
    spool = open_spool(tmp_path)
    spool.append(entry())
    read_all(spool)
    assert len(list(tmp_path.glob("*.spool"))) == 1
    spool.look()
    read_all(spool)

    assert list(tmp_path.glob("*.spool")) == []
    assert spool.append(entry())


@given(st.data())
def test_whatever_happens_to_a_segment_its_other_records_are_read(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("spool")
    entries = [entry() for _ in range(3)]
    path = left_by_the_dead(directory, *entries)
    whole = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(whole) - 1))
    if is_cut := data.draw(st.booleans()):
        del whole[position:]
    else:
        whole[position] ^= data.draw(st.integers(1, 255))
    path.write_bytes(whole)
    with capture_logs() as logs:
        found = adopt(open_spool(directory))

    size = len(frame(encode(entries[0])))
    if is_cut:
        assert found == entries[: position // size]
        assert names(directory) == []
        assert [line["bytes"] for line in logs] == ([position % size] if position % size else [])
    else:
        assert found == [each for number, each in enumerate(entries) if number != position // size]
        assert logs[0].get("damaged_bytes", logs[0].get("bytes")) == size


def test_damaged_segments_are_kept_aside(tmp_path: Path) -> None:
    path = left_by_the_dead(tmp_path, entry())
    path.write_bytes(b"garbage" + path.read_bytes())
    with capture_logs() as logs:
        assert len(adopt(open_spool(tmp_path))) == 1

    assert names(tmp_path) == ["dead.000000.rejected"]
    assert (logs[0]["damaged_bytes"], logs[0]["rejected_records"]) == (7, 0)


def test_records_of_another_shape_are_kept_aside(tmp_path: Path) -> None:
    path, known = left_by_the_dead(tmp_path), entry()
    strange = msgspec.msgpack.encode({"id": "of another kind"})
    path.write_bytes(frame(strange) + frame(encode(known)) + frame(b"\xc1"))
    with capture_logs() as logs:
        assert adopt(open_spool(tmp_path)) == [known]

    assert names(tmp_path) == ["dead.000000.rejected"]
    assert logs[0]["rejected_records"] == 2


def test_records_of_another_shape_are_kept_aside_of_a_batch_that_is_dealt_with_in_parts(
    tmp_path: Path,
) -> None:
    """As when the database goes away between two rows."""
    path, known = left_by_the_dead(tmp_path), [entry(), entry()]
    path.write_bytes(b"".join(map(frame, [b"\xc1", *map(encode, known)])))
    for orphan in open_spool(tmp_path).orphans():
        assert orphan.peek(10) == known
        orphan.take(1)
        assert read_all(orphan) == known[1:]

    assert names(tmp_path) == ["dead.000000.rejected"]


def test_records_of_an_older_version_are_read() -> None:
    old = {"id": str(uuid7()), "started_at": 1, "method": "GET", "path": "/v1/models", "status": 200}
    read = decode(msgspec.msgpack.encode(old))

    assert read is not None
    assert (read.status, read.model, read.outcome, read.finished) == (200, "", Outcome.INTERRUPTED, None)


def test_records_of_a_newer_version_are_read_without_what_is_unknown() -> None:
    known = entry()
    newer = msgspec.msgpack.decode(encode(known)) | {"colour": "green"}

    assert decode(msgspec.msgpack.encode(newer)) == known


def test_texts_without_end_are_cut() -> None:
    payload = encode(entry(model="m" * 10 * MAX_PAYLOAD_BYTES))

    assert len(payload) < MAX_PAYLOAD_BYTES


def test_what_cannot_be_written_down_is_the_callers(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)

    assert not spool.append(entry(path="/v1/\ud800"))
    assert spool.append(entry())


def test_a_full_spool_takes_no_more_and_warns_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "RETRY_SECONDS", 0.0)
    spool, taken = open_spool(tmp_path, max_bytes=2000, segment_bytes=300), []
    with capture_logs() as logs:
        while spool.append(each := entry()):
            taken.append(each)
            spool.look()
        spool.look()
        assert not spool.append(entry())
        said = spool.state
        assert read_all(spool) == taken
        spool.look()
        assert spool.append(entry())

    events = [line["event"] for line in logs]
    assert events == [
        "the spool is almost full: usage cannot be written to the database",
        "usage cannot be spooled, it is kept in memory",
    ]
    assert "SPOOL_MAX_BYTES" in said
    assert spool.state == ""


def test_all_processes_share_the_bound(tmp_path: Path) -> None:
    left_by_the_dead(tmp_path, *(entry() for _ in range(20)))
    spool = open_spool(tmp_path, max_bytes=1000)
    spool.look()

    assert not spool.append(entry())


def test_a_disk_that_takes_half_a_record_leaves_no_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, entries = open_spool(tmp_path), [entry(), entry()]
    assert spool.append(entries[0])
    write = os.write
    monkeypatch.setattr(spool_module, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:20]))
    assert not spool.append(entry())
    monkeypatch.setattr(os, "write", write)
    assert spool.append(entries[1])

    assert read_all(spool) == entries


def test_a_directory_that_cannot_be_made_is_a_problem_and_no_failure(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    spool = open_spool(tmp_path / "file" / "spool")

    assert not spool.append(entry())
    assert os.strerror(errno.ENOTDIR) in spool.state


def test_a_segment_that_somebody_has_cut_is_no_endless_loop(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    spool.append(entry())
    (path,) = tmp_path.glob("*.spool")
    path.write_bytes(b"")

    assert spool.peek(1) == []
    assert isinstance(spool._segments[0], Segment)


def test_a_segment_that_somebody_has_cut_within_a_record_is_none_either(tmp_path: Path) -> None:
    spool, entries = open_spool(tmp_path), [entry() for _ in range(3)]
    assert all(map(spool.append, entries))
    (path,) = tmp_path.glob("*.spool")
    os.truncate(path, path.stat().st_size - 5)

    assert read_all(spool) == entries[:2]
    assert spool.peek(1) == []


def test_a_file_that_is_gone_holds_up_none_of_the_others(tmp_path: Path) -> None:
    spool, entries = open_spool(tmp_path, segment_bytes=300), [entry() for _ in range(10)]
    assert spool.append(entries[0])
    (gone,) = tmp_path.glob("*.spool")
    gone.unlink()
    with capture_logs() as logs:
        assert spool.peek(1) == []
        assert all(map(spool.append, entries[1:]))
        assert read_all(spool) == entries[1:]

    assert [(line["event"], line["file"]) for line in logs] == [("a spool file cannot be read", gone.name)]


def test_a_file_that_cannot_be_read_is_read_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool, entries = open_spool(tmp_path, segment_bytes=300), [entry() for _ in range(10)]
    assert all(map(spool.append, entries))
    first = min(tmp_path.glob("*.spool"))
    away = first.rename(tmp_path / "away")
    first.mkdir()  # which cannot be opened, even by root
    with capture_logs():
        others = read_all(spool)
    first.rmdir()
    away.rename(first)
    assert others == entries[-len(others) :]
    assert spool.state == "files that cannot be read now: 1"
    assert spool.pending == len(entries) - len(others) > 0
    monkeypatch.setattr(segments_module, "REREAD_SECONDS", 0.0)
    spool._reader._reread_at = 0.0

    assert read_all(spool) == entries[: -len(others)]
    assert (spool.state, spool.pending) == ("", 0)
    spool.close()
    assert names(tmp_path) == []


def test_one_process_whose_files_cannot_be_opened_holds_up_none_of_the_others(tmp_path: Path) -> None:
    left_by_the_dead(tmp_path, entry(), entry())
    (tmp_path / "a.lock").mkdir()
    with capture_logs() as logs:
        assert len(adopt(open_spool(tmp_path))) == 2

    assert [line["owner"] for line in logs] == ["a"]


def test_a_small_spool_is_not_full_of_what_is_dealt_with(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, max_bytes=MIB)
    for _ in range(100):
        assert all(spool.append(entry()) for _ in range(100))
        read_all(spool)
        spool.look()

    assert spool.state == ""


def test_a_full_spool_is_found_empty_without_another_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "RETRY_SECONDS", 0.0)
    spool = open_spool(tmp_path, max_bytes=2000)
    with capture_logs():
        while spool.append(entry()):
            pass
        assert "SPOOL_MAX_BYTES" in spool.state
        read_all(spool)
        spool.look()

    assert spool.state == ""
    assert {path.suffix for path in tmp_path.iterdir()} == {".lock"}


def test_a_directory_that_can_be_made_again_is_found_without_another_record(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    spool = open_spool(tmp_path / "file" / "spool")
    with capture_logs():
        assert not spool.append(entry())
        spool.look()
        assert spool.state != ""
        (tmp_path / "file").unlink()
        spool.look()

    assert spool.state == ""


def test_records_that_cannot_be_read_are_pending_no_more(tmp_path: Path) -> None:
    spool, entries = open_spool(tmp_path), [entry(), entry()]
    assert all(map(spool.append, entries))
    (path,) = tmp_path.glob("*.spool")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with capture_logs():
        assert read_all(spool) == entries[:1]
        spool._end_segment()
        read_all(spool)

    assert spool.pending == 0


def test_files_that_were_put_aside_are_told_until_they_are_taken_away(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    (tmp_path / "dead.000000.rejected").touch()
    spool.look()
    assert spool.state == "files with records that could not be used (*.rejected): 1"
    (tmp_path / "dead.000000.rejected").unlink()
    spool.look()

    assert spool.state == ""


def test_a_file_that_cannot_be_closed_is_ended_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, entries, close = open_spool(tmp_path, segment_bytes=1), [entry(), entry()], os.close

    def fail(descriptor: int) -> None:
        close(descriptor)
        raise OSError(errno.EIO, "Input/output error")

    with capture_logs():
        spool.append(entry(method="GET"))
        monkeypatch.setattr(os, "close", fail)
        spool.append(entries[0])
        monkeypatch.setattr(os, "close", close)
        monkeypatch.setattr(spool, "_retry_at", 0.0)
        assert spool.append(entries[1])

    assert spool._descriptor == -1


def test_a_spool_whose_directory_was_deleted_is_owned_again(tmp_path: Path) -> None:
    directory = tmp_path / "spool"
    spool = open_spool(directory, segment_bytes=1)
    assert spool.append(entry())
    shutil.rmtree(directory)
    with capture_logs():
        assert spool.append(entry())
        assert adopt(open_spool(directory)) == []
        assert len(read_all(spool)) == 1

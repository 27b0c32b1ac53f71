"""The disk of the spool is full: requests go on, and once there is room again nothing is missing."""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.databases import table_away
from tests.e2e.load import Seen, ask_for_nothing, ask_json, ask_stream, ask_until
from tests.factories import issue_token
from tests.ledgers import assert_sums_are_those_of_the_rows, missing
from tests.live import LiveProxy, eventually, serving
from usage.models import UsageRecord

SIZE_BYTES = 256 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "small"
    directory.mkdir()
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root can mount a small disk")
    mounting = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES}", "tmpfs", str(directory)], capture_output=True
    )
    if mounting.returncode:
        pytest.skip(f"a small disk cannot be mounted: {mounting.stderr.decode()}")
    yield directory
    subprocess.run(["umount", str(directory)], check=True)


@pytest.fixture
def live(
    small_disk: Path, django_db_setup: None, transactional_db: None, tmp_path: Path
) -> Iterator[LiveProxy]:
    with serving(tmp_path, SPOOL_DIR=str(small_disk / "spool")) as live:
        yield live


def test_a_disk_that_is_full_stops_no_request_and_loses_none(live: LiveProxy, small_disk: Path) -> None:
    _, plain = issue_token()
    seen = Seen()
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass
    with table_away(UsageRecord):
        asyncio.run(_load(live, plain, seen))
        said = httpx.get(f"{live.url}/ready")
        filler.unlink()
        asyncio.run(_load(live, plain, seen))
    eventually(lambda: missing(seen.ids) == set(), within_seconds=30)

    assert (said.status_code, said.json()["status"]) == (200, "degraded")
    assert "No space left on device" in said.json()["checks"]["spool"]
    assert seen.broken == 0
    assert set(seen.statuses) == {200, 404}
    assert_sums_are_those_of_the_rows()
    eventually(lambda: httpx.get(f"{live.url}/ready").json()["status"] == "ok")
    events = [line for line in live.log().splitlines() if "spooled" in line]
    assert "usage cannot be spooled, it is kept in memory" in events[0]
    assert "usage can be spooled again" in events[-1]


async def _load(live: LiveProxy, plain: str, seen: Seen) -> None:
    began, before = time.monotonic(), len(seen.ids)

    def is_enough() -> bool:
        return time.monotonic() - began > 1.5 and len(seen.ids) - before > 20

    await ask_until(is_enough, live.url, plain, seen, (ask_json, ask_stream, ask_for_nothing))

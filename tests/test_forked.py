"""Our programs in tests, which are forked off: as if they were started."""

import subprocess
import sys
from pathlib import Path

from llm_proxy_site.processes import MANAGE


def test_a_file_that_a_program_writes_to_stays_open_here(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w+") as log:
        subprocess.run([sys.executable, str(MANAGE), "--version"], stdout=log, check=True)
        log.seek(0, 2)
        log.write("and this")
    first, last = (tmp_path / "log").read_text().splitlines()
    assert first.startswith("5.")
    assert last == "and this"


def test_what_a_program_prints_comes_to_its_end() -> None:
    done = subprocess.run([sys.executable, str(MANAGE), "no-such-thing"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "no-such-thing" in done.stderr

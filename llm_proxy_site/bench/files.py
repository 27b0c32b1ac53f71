"""Where a run is kept: a JSON file, with .csv and .svg beside it. Whether they can be written is known before
a run of many minutes. Both functions raise OSError.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

SUFFIXES = (".csv", ".svg")


def prepare(path: Path, suffixes: Sequence[str] = SUFFIXES) -> None:
    """Makes the folder; what is in the files already stays. `suffixes`: of what is written beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for file in (path, *map(path.with_suffix, suffixes)):
        was_there = file.exists()
        file.open("ab").close()
        if not was_there:
            file.unlink()


def write(path: Path, json_text: str, beside: Mapping[str, str]) -> None:
    """`beside`: what to write by each of SUFFIXES."""
    path.write_text(json_text)
    for suffix, text in beside.items():
        path.with_suffix(suffix).write_text(text)

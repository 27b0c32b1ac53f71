from pathlib import Path

import pytest
from django.conf import settings
from django.core.management.base import CommandError

from tests.commands import in_a_process, run, run_json

GOOD = """
providers: {one: {}, two: {}}
families: {all: [{path: /a, methods: [GET]}, {path: /b, methods: [GET]}]}
"""
BAD = "providers:\n  one: {colour: red}\nfamilies:\n  all:\n    - {path: /a}\n"


def write(folder: Path, text: str) -> str:
    file = folder / "new.yaml"
    file.write_text(text)
    return str(file)


def test_a_good_file_is_one_sentence_with_counts(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD)
    assert run("check_config", file) == f"{file} is good: providers: 2, families: 1, endpoints: 2.\n"
    assert run_json("check_config", file) == {
        "file": file,
        "providers": ["one", "two"],
        "families": 1,
        "endpoints": 2,
    }


def test_without_a_file_it_is_the_one_that_is_set() -> None:
    assert run("check_config").startswith(f"{settings.PROVIDERS_FILE} is good: providers: 1,")


def test_a_bad_file_is_told_line_by_line(tmp_path: Path) -> None:
    file = write(tmp_path, BAD)
    with pytest.raises(CommandError) as refused:
        run("check_config", file)
    assert str(refused.value).splitlines() == [
        f"{file}:2: providers.one.colour: there is no such setting",
        f"{file}:5: families.all[0].methods: /a has no methods, and no WebSocket",
    ]


def test_a_file_that_is_not_there_is_told() -> None:
    with pytest.raises(CommandError, match=r"none\.yaml cannot be read: No such file or directory"):
        run("check_config", "/nowhere/none.yaml")


def test_the_file_that_is_set_can_be_checked_though_the_server_would_refuse_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVIDERS_FILE", write(tmp_path, BAD))
    done = in_a_process("check_config", database=tmp_path / "none.db")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("CommandError: ")
    assert len(done.stderr.splitlines()) == 2
    refused = in_a_process("check", database=tmp_path / "none.db")
    assert refused.returncode == 1
    assert f"{tmp_path}/new.yaml:5: families.all[0]" in refused.stderr

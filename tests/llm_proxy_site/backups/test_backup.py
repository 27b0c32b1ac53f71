import json
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from llm_proxy_site.backups.errors import BackupError
from llm_proxy_site.backups.files import new_backup, remove_older
from llm_proxy_site.backups.programs import find_program, run_program
from llm_proxy_site.processes import MANAGE, ChildFailedError, manage, running
from tests.llm_proxy_site.backups.conftest import KEY


def back_up(environment: dict[str, str], *arguments: str) -> Path:
    return Path(json.loads(manage("backup_db", *arguments, "--json", environment=environment))["file"])


def projects(environment: dict[str, str]) -> list[str]:
    facts = json.loads(manage("list_projects", "--json", environment=environment))
    return [project["name"] for project in facts]


def test_backup_is_one_private_file_and_restores_what_was(installation: dict[str, str]) -> None:
    backup = back_up(installation)
    manage("create_project", "after", "--upstream-key", "-", environment=installation, stdin=KEY)

    facts = json.loads(manage("restore_db", str(backup), "--json", environment=installation))

    assert projects(installation) == ["before"]
    assert backup.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in backup.parent.iterdir()] == [backup.name]
    assert (facts["migrations"], facts["unreadable_keys"]) == (0, 0)
    with closing(sqlite3.connect(facts["replaced"])) as kept:
        assert kept.execute("SELECT count(*) FROM projects_project").fetchone() == (2,)


def test_database_that_was_lost_is_restored(installation: dict[str, str], tmp_path: Path) -> None:
    backup = back_up(installation, str(tmp_path / "elsewhere"))
    for path in (tmp_path / "data").glob("llm-proxy.db*"):
        path.unlink()
    assert (
        json.loads(manage("restore_db", str(backup), "--json", environment=installation))["replaced"] is None
    )
    assert projects(installation) == ["before"]


def test_database_that_is_damaged_is_replaced_and_kept(installation: dict[str, str], tmp_path: Path) -> None:
    backup = back_up(installation)
    (tmp_path / "data" / "llm-proxy.db").write_bytes(b"nonsense" * 1000)
    facts = json.loads(manage("restore_db", str(backup), "--json", environment=installation))
    assert projects(installation) == ["before"]
    assert Path(facts["replaced"]).read_bytes().startswith(b"nonsense")


def test_restoring_is_refused_while_a_server_runs(installation: dict[str, str]) -> None:
    backup = back_up(installation)
    with (
        running(str(MANAGE), "serve", "--bind", "127.0.0.1:0", environment=installation),
        pytest.raises(ChildFailedError, match="A server is running on this database"),
    ):
        manage("restore_db", str(backup), environment=installation)


@pytest.mark.parametrize("damage", [b"", b"no database", None])
def test_damaged_backup_is_refused_and_changes_nothing(
    installation: dict[str, str], damage: bytes | None
) -> None:
    backup = back_up(installation)
    whole = backup.read_bytes()
    backup.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    with pytest.raises(ChildFailedError) as failure:
        manage("restore_db", str(backup), environment=installation)
    assert "Traceback" not in str(failure.value)
    assert projects(installation) == ["before"]


def test_backup_of_an_older_version_is_brought_up_to_date(installation: dict[str, str]) -> None:
    newest = back_up(installation)
    manage("migrate", "usage", "0005", environment=installation)
    older = back_up(installation)
    manage("restore_db", str(newest), environment=installation)
    facts = json.loads(manage("restore_db", str(older), "--json", environment=installation))
    assert facts["migrations"] >= 1
    assert projects(installation) == ["before"]


def test_backup_of_a_newer_version_is_refused(installation: dict[str, str]) -> None:
    backup = back_up(installation)
    with closing(sqlite3.connect(backup)) as database, database:
        database.execute(
            "INSERT INTO django_migrations (app, name, applied) VALUES ('usage', '9999_later', '2030-01-01')"
        )
    with pytest.raises(ChildFailedError, match="newer version than this one: it has usage 9999_later"):
        manage("restore_db", str(backup), environment=installation)


def test_keys_that_cannot_be_read_after_restoring_are_told(
    installation: dict[str, str], tmp_path: Path
) -> None:
    backup = back_up(installation)
    other = {**installation, "ENCRYPTION_KEYS": "a" * 43 + "=", "SECRET_KEY": "other" * 10}
    assert json.loads(manage("restore_db", str(backup), "--json", environment=other))["unreadable_keys"] == 1


def test_only_our_older_backups_are_removed(tmp_path: Path) -> None:
    ours = [tmp_path / f"llm-proxy-2026010{day}T000000.000Z.sqlite3" for day in range(1, 5)]
    others = [tmp_path / name for name in ("llm-proxy.db", "notes.sqlite3", f"{ours[0].name}.old")]
    for path in (*ours, *others):
        path.touch()
    assert remove_older(ours[-1], 2) == ours[:2]
    assert sorted(tmp_path.iterdir()) == sorted([*ours[2:], *others])


def test_backup_that_was_just_made_stays_even_if_others_are_of_a_clock_that_went_wrong(
    tmp_path: Path,
) -> None:
    later, made = (tmp_path / f"llm-proxy-{year}0101T000000.000Z.sqlite3" for year in (2099, 2026))
    for path in (later, made):
        path.touch()
    assert remove_older(made, 1) == [later]
    assert list(tmp_path.iterdir()) == [made]


def test_what_a_process_that_was_killed_has_left_is_removed_by_the_next_but_one_that_runs_is_not(
    tmp_path: Path,
) -> None:
    killed, runs = (tmp_path / f".llm-proxy-2026010{day}T000000.000Z.sql.partial" for day in (1, 2))
    for path in (killed, runs):
        path.touch()
    os.utime(killed, (0, 0))
    with new_backup(tmp_path, ".sql", datetime.now(UTC)) as (_, final):
        pass
    assert sorted(tmp_path.iterdir()) == [runs, final]


def test_keep_is_counted_with_the_new_one(installation: dict[str, str]) -> None:
    for _ in range(3):
        newest = back_up(installation, "--keep", "1")
    assert list(newest.parent.iterdir()) == [newest]


def test_directory_that_cannot_be_written_is_a_sentence(installation: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ChildFailedError, match=r"Not a directory|File exists"):
        back_up(installation, str(tmp_path / "file" / "backups"))


def test_program_that_is_missing_or_fails_is_a_sentence() -> None:
    with pytest.raises(BackupError, match="no-such-dump is not installed"):
        find_program("no-such-dump")
    with pytest.raises(BackupError, match="false failed: it does not say why"):
        run_program(find_program("false"))


def test_program_is_ended_when_the_server_stops() -> None:
    with pytest.raises(BackupError, match="stopped"):
        run_program(find_program("sleep"), "60", is_stopping=lambda: True)


def test_instants_are_told_in_utc() -> None:
    from llm_proxy_site.backups.files import stamp

    instant: Any = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    assert stamp(instant) == "20260102T030405.678Z"

"""import_llm_proxy: what the Go original had goes on here, its tokens with their old plain texts."""

import base64
import os
import shutil
import sqlite3
import uuid
from contextlib import closing
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from django.core.management.base import CommandError

from audit.models import AuditEvent
from llm_proxy_site.processes import ChildFailedError, manage
from projects.models import Project
from tests.commands import in_a_process, run, run_json
from tests.databases import execute
from tests.factories import ProjectFactory, stored_text
from tests.installations import Installation
from tests.live import LiveProxy
from tests.llm_proxy_site.takeover.originals import (
    CREATED,
    FIRST,
    KEY,
    LATER,
    OriginalDatabase,
    new_plain,
    sealed,
)
from tests.rights import run_without_rights
from tokens.lifecycle import rotate
from tokens.lifetime import NEVER
from tokens.models import AccessToken
from usage.models import DailySpend

pytestmark = pytest.mark.django_db


@pytest.fixture
def original(tmp_path: Path) -> OriginalDatabase:
    return OriginalDatabase(tmp_path / "old.db")


@pytest.mark.parametrize("is_hashed", [False, True])
@pytest.mark.parametrize("prefix", ["sk-", "tkn_"])
def test_an_old_plain_text_opens_the_proxy(
    live: LiveProxy, original: OriginalDatabase, is_hashed: bool, prefix: str
) -> None:
    plain = original.add_token(original.add_project("web"), new_plain(prefix), is_hashed=is_hashed)

    run("import_llm_proxy", str(original.file))

    call = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
    bearer = {"Authorization": f"Bearer {plain}"}
    answer = httpx.post(f"{live.base_url}/chat/completions", json=call, headers=bearer)
    assert answer.status_code == 200
    assert f"Bearer {KEY}" in str(live.upstream_requests(KEY))
    run("revoke_token", plain)
    assert AccessToken.objects.get().state(datetime.now(UTC)) == "revoked"


def test_everything_is_taken_over(original: OriginalDatabase) -> None:
    web = original.add_project("web")
    off = original.add_project("off", is_active=0, deactivated_at="2026-05-06 07:08:09")
    capped = original.add_token(
        web, max_requests=100, request_count=40, last_used_at="2026-02-03 04:05:06+00:00"
    )
    original.add_token(
        off, max_requests=0, expires_at=None, is_active=0, deactivated_at=CREATED, metadata="{}"
    )

    facts = run_json("import_llm_proxy", str(original.file))

    assert (facts["projects"], facts["tokens"], facts["never_expiring"]) == (2, 2, 1)
    project = Project.objects.get(name="web")
    assert (str(project.id), project.is_active, project.created_at) == (
        web,
        True,
        datetime(2026, 1, 2, 2, 4, 5, 123456, UTC),
    )
    assert project.upstream_keys.get().reveal() == KEY
    assert Project.objects.get(name="off").deactivated_at == datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)

    token = AccessToken.objects.of(capped).get()
    assert (token.max_requests, token.request_count) == (100, 40)
    assert (token.last_four, token.name) == (capped[-4:], f"imported …{capped[-4:]}")
    assert token.created_at == project.created_at
    assert token.expires_at == datetime.fromisoformat(LATER)
    assert token.ttl == token.expires_at - token.created_at
    assert DailySpend.objects.get(subject_id=token.id).requests == 40

    dead = AccessToken.objects.get(project__name="off")
    assert (dead.max_requests, dead.expires_at, dead.ttl) == (None, None, None)
    assert dead.state(datetime.now(UTC)) == "revoked"
    actions = list(AuditEvent.objects.order_by("sequence").values_list("action", flat=True))
    assert actions == [
        *["project.imported", "upstream_key.added"] * 2,
        *["token.imported"] * 2,
        "original.imported",
    ]


def test_the_cap_is_counted_on_from_there(live: LiveProxy, original: OriginalDatabase) -> None:
    plain = original.add_token(original.add_project("web"), max_requests=41, request_count=40)
    run("import_llm_proxy", str(original.file))
    with httpx.Client(base_url=live.base_url, headers={"Authorization": f"Bearer {plain}"}) as client:
        assert [client.get("/models").status_code for _ in range(2)] == [200, 429]


def test_a_second_import_changes_nothing(original: OriginalDatabase) -> None:
    plain = original.add_token(original.add_project("web"), is_hashed=True, request_count=3)
    run("import_llm_proxy", str(original.file))
    token = AccessToken.objects.of(plain).get()
    rotate(token, grace=NEVER - NEVER, actor="user:ada", now=datetime.now(UTC))
    before = stored_text()

    facts = run_json("import_llm_proxy", str(original.file))

    assert (facts["projects"], facts["tokens"], facts["known_projects"], facts["known_tokens"]) == (
        0,
        0,
        1,
        1,
    )
    assert stored_text() == before


def test_a_dry_run_says_what_it_would_do_and_does_nothing(original: OriginalDatabase) -> None:
    original.add_token(original.add_project("web"))
    before = stored_text()
    printed = run("import_llm_proxy", str(original.file), "--dry-run")
    assert "Would be imported: projects 1, tokens 1." in printed
    assert stored_text() == before


def test_the_first_schema_is_read_and_its_tokens_are_known_again(tmp_path: Path) -> None:
    original = OriginalDatabase(tmp_path / "old.db", FIRST)
    original.add_token(original.add_project("web"))
    assert run_json("import_llm_proxy", str(original.file))["tokens"] == 1
    original.execute("UPDATE tokens SET request_count = 5")
    assert run_json("import_llm_proxy", str(original.file))["known_tokens"] == 1


def test_encrypted_keys_need_the_key_of_the_original(original: OriginalDatabase, tmp_path: Path) -> None:
    secret = os.urandom(32)
    original.add_project("web", sealed(KEY, secret))
    with pytest.raises(
        CommandError, match=r"project web: upstream key: It is encrypted\. Give the original's"
    ):
        run("import_llm_proxy", str(original.file))

    for wrong, sentence in ((os.urandom(32), "does not decrypt"), (b"short", "is no ENCRYPTION_KEY")):
        key_file = tmp_path / "wrong.key"
        key_file.write_bytes(base64.b64encode(wrong))
        with pytest.raises(CommandError, match=sentence):
            run("import_llm_proxy", str(original.file), "--encryption-key", str(key_file))
    assert not Project.objects.exists()

    key_file.write_bytes(base64.b64encode(secret) + b"\n")
    run("import_llm_proxy", str(original.file), "--encryption-key", str(key_file))
    assert Project.objects.get().upstream_keys.get().reveal() == KEY


@pytest.mark.django_db(transaction=True)
def test_nothing_secret_is_printed_or_stored(original: OriginalDatabase) -> None:
    secret = os.urandom(32)
    plain = original.add_token(original.add_project("web", sealed(KEY, secret)))
    done = in_a_process(
        "import_llm_proxy",
        str(original.file),
        "--encryption-key",
        "-",
        stdin=base64.b64encode(secret).decode(),
    )
    assert done.returncode == 0, done.stderr
    assert "projects 1, tokens 1" in done.stdout
    for text in (done.stdout, done.stderr, stored_text()):
        for hidden in (KEY, plain, base64.b64encode(secret).decode()):
            assert hidden not in text


def test_what_cannot_be_taken_over_is_told(original: OriginalDatabase) -> None:
    project_id = original.add_project("web", key="")
    original.add_token(project_id, "sk-not-one-that-was-issued")
    printed = run("import_llm_proxy", str(original.file))
    assert "The project web had no upstream key" in printed
    assert "could not have accepted them: 1" in printed


def test_a_project_of_that_name_stops_it_whole(original: OriginalDatabase) -> None:
    ProjectFactory.create(name="web")
    original.add_project("another")
    original.add_project("web")
    with pytest.raises(
        CommandError, match="The project web: name: There is another project of that name here"
    ):
        run("import_llm_proxy", str(original.file))
    assert Project.objects.count() == 1


def test_all_that_is_wrong_with_a_file_is_told_at_once_and_nothing_secret(original: OriginalDatabase) -> None:
    long_name = original.add_project("a" * 101)
    short_key = original.add_project("web", key="hunter2")
    capped = original.add_token(short_key, max_requests=-1, expires_at="soon")
    sound = original.add_token(long_name)
    token_id = original.token_id_of(capped)

    with pytest.raises(CommandError) as refused:
        run("import_llm_proxy", str(original.file))

    first, *told = str(refused.value).splitlines()
    assert first.startswith("Nothing was imported.")
    assert sorted(told) == sorted(
        [
            f"The project 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa… with the id {long_name}: name: "
            "Ensure this value has at most 100 characters (it has 101). Rename it in the original.",
            "The project web: upstream key: An upstream key is 8 to 512 printable ASCII characters, "
            "without spaces. Give the project its right one in the original.",
            f"The token {token_id}: expires_at: 'soon' is an instant that cannot be read. "
            "Mend it in the original.",
            f"The token {token_id}: max_requests: Ensure this value is greater than or equal to 0. "
            "In the original give it a number above 0, or none (NULL) for no cap.",
        ]
    )
    for hidden in ("hunter2", capped, sound):
        assert hidden not in str(refused.value)
    assert not Project.objects.exists()


def test_a_token_of_the_first_schema_is_named_without_its_plain_text(tmp_path: Path) -> None:
    original = OriginalDatabase(tmp_path / "old.db", FIRST)
    plain = original.add_token(original.add_project("web"), max_requests=-1)
    with pytest.raises(CommandError, match=f"The token …{plain[-4:]}: max_requests: ") as refused:
        run("import_llm_proxy", str(original.file))
    assert plain not in str(refused.value)


def test_names_that_differ_by_spaces_only_are_told(original: OriginalDatabase) -> None:
    original.add_project("web")
    original.add_project("web ")
    with pytest.raises(CommandError, match="Another one in the file has that name, but for spaces"):
        run("import_llm_proxy", str(original.file))


def test_what_is_in_the_file_twice_is_told(original: OriginalDatabase) -> None:
    one = original.add_project("one")
    other = str(uuid.uuid4())
    original.add_project("two", id=other)
    original.add_project("three", id=other.upper())
    plain = original.add_token(one)
    original.add_token(one, plain, is_hashed=True)
    with pytest.raises(CommandError) as refused:
        run("import_llm_proxy", str(original.file))
    told = str(refused.value)
    assert "The project two: id: Another one in the file has the same." in told
    assert "The project three: id: Another one in the file has the same." in told
    assert told.count(": token: Another one in the file has the same.") == 2
    assert plain not in told


@pytest.mark.mysql
def test_names_that_the_database_does_not_tell_apart_are_told(
    original: OriginalDatabase, mysql_installation: Installation
) -> None:
    """As in a database whose tables were not made by `setup`."""
    url = mysql_installation["DATABASE_URL"]
    execute(url, "ALTER TABLE projects_project MODIFY name varchar(100) COLLATE utf8mb4_general_ci NOT NULL")
    for name in ("web", "WEB", "other"):
        original.add_project(name)
    with pytest.raises(ChildFailedError) as refused:
        manage("import_llm_proxy", str(original.file), environment=mysql_installation)
    first, *told = str(refused.value).splitlines()
    assert first.endswith("Nothing was imported. What is to be mended first:")
    assert [line.partition(", but")[0] for line in told] == [
        f"The project {name}: name: Another one in the file has that name" for name in ("web", "WEB")
    ]


def test_a_name_commands_no_terminal(original: OriginalDatabase) -> None:
    original.add_project("\x1b[31mweb", key="")
    assert r"The project '\x1b[31mweb' had no upstream key" in run("import_llm_proxy", str(original.file))


def test_tokens_whose_cap_was_0_are_counted(original: OriginalDatabase) -> None:
    web = original.add_project("web")
    for cap in (0, 0, None, 5):
        original.add_token(web, max_requests=cap)
    assert run_json("import_llm_proxy", str(original.file), "--dry-run")["caps_of_zero"] == 2
    assert "without a cap, for their max_requests was 0: 2." in run("import_llm_proxy", str(original.file))
    assert AccessToken.objects.filter(max_requests=None).count() == 3
    assert "was 0" not in run("import_llm_proxy", str(original.file))


@pytest.mark.parametrize(("prefix", "is_hashed"), [("sk-", False), ("tkn_", False), ("sk-", True)])
def test_what_is_shown_of_a_token_is_true_of_it(
    original: OriginalDatabase, prefix: str, is_hashed: bool
) -> None:
    plain = original.add_token(original.add_project("web"), new_plain(prefix), is_hashed=is_hashed)
    run("import_llm_proxy", str(original.file))
    assert run_json("list_tokens")[0]["display"] == ("…" if is_hashed else f"{prefix}…{plain[-4:]}")

    ours = rotate(AccessToken.objects.get(), grace=NEVER - NEVER, actor="user:ada", now=datetime.now(UTC))
    assert run_json("list_tokens")[0]["display"] == f"sk-wt-…{ours[-4:]}"


def test_the_hash_is_that_of_what_was_imported(original: OriginalDatabase) -> None:
    """Rows that are in the write-ahead log only are imported too."""
    with closing(sqlite3.connect(original.file)) as other:
        other.execute("SELECT * FROM projects").fetchall()  # which opens it
        original.add_project("web")
        before = sha256(original.file.read_bytes()).hexdigest()
        assert run_json("import_llm_proxy", str(original.file))["projects"] == 1
    after = sha256(original.file.read_bytes()).hexdigest()
    assert before != after  # the last one who closes it merges the log
    assert AuditEvent.objects.get(action="original.imported").details["sha256"] == after


def test_the_hash_of_a_file_at_rest_is_its_own(original: OriginalDatabase) -> None:
    original.add_project("web")
    run("import_llm_proxy", str(original.file))
    recorded = AuditEvent.objects.get(action="original.imported").details["sha256"]
    assert recorded == sha256(original.file.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("UPDATE projects SET api_key = 'short'", r"project web: upstream key: An .* 8 to 512 .* Give the"),
        (
            "UPDATE projects SET created_at = 'soon'",
            "project web: created_at: 'soon' is an instant that cannot",
        ),
        (
            "UPDATE projects SET created_at = '0001-01-01 00:00:00+14:00'",
            "created_at: '0001.* cannot be read",
        ),
        ("UPDATE projects SET name = ' '", "name: This field cannot be blank. Rename it in the original"),
        ("UPDATE projects SET name = x'00'", "name: It is no text"),
        ("UPDATE projects SET name = CAST(x'ff' AS TEXT)", "name: It is no text"),
        ("UPDATE tokens SET expires_at = ''", "expires_at: '' is an instant that cannot be read"),
        ("UPDATE tokens SET expires_at = 0", "expires_at: 0 is an instant that cannot be read"),
        ("UPDATE tokens SET is_active = 2", "is_active: 2 is neither 1 nor 0"),
        ("UPDATE tokens SET created_at = ''", "created_at: '' is an instant that cannot be read"),
        ("UPDATE tokens SET max_requests = 'few'", "max_requests: 'few' is no whole number. Mend it"),
        ("UPDATE tokens SET request_count = 1.5", "request_count: 1.5 is no whole number"),
        (
            "UPDATE tokens SET project_id = 'gone'",
            "project_id: It is of a project that the database does not",
        ),
        (
            "ALTER TABLE tokens ADD COLUMN daily_budget INTEGER",
            "newer version .* its table tokens has daily_budget",
        ),
        (
            "ALTER TABLE tokens DROP COLUMN request_count",
            "no database of the Go original: .* no request_count",
        ),
        ("DROP TABLE tokens", "no database of the Go original: it has no table tokens"),
    ],
)
def test_a_file_that_cannot_be_taken_over_is_refused_whole(
    original: OriginalDatabase, statement: str, sentence: str
) -> None:
    original.add_token(original.add_project("web"))
    original.execute(statement)
    with pytest.raises(CommandError, match=sentence):
        run("import_llm_proxy", str(original.file))
    assert not Project.objects.exists()
    assert not AuditEvent.objects.exists()


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text("Hello. " * 1000)
    with pytest.raises(CommandError, match="is no SQLite database"):
        run("import_llm_proxy", str(text))
    with pytest.raises(CommandError, match="is not a file"):
        run("import_llm_proxy", str(tmp_path / "missing.db"))
    assert not (tmp_path / "missing.db").exists()


def test_a_file_in_a_folder_that_cannot_be_written_is_read(original: OriginalDatabase) -> None:
    original.add_project("web")
    assert _read_without_rights(original.file, 0o500) == "['web']"


def test_a_log_in_a_folder_that_cannot_be_written_is_told(original: OriginalDatabase, tmp_path: Path) -> None:
    with closing(sqlite3.connect(original.file)) as other:
        other.execute("SELECT * FROM projects").fetchall()  # which opens it
        original.add_project("web")
        folder = tmp_path / "copied"
        folder.mkdir()
        for name in ("old.db", "old.db-wal"):
            shutil.copy(tmp_path / name, folder)
    assert "Copy it to one, with the files beside it" in _read_without_rights(folder / "old.db", 0o500)


def test_a_file_in_a_folder_that_cannot_be_entered_is_told(original: OriginalDatabase) -> None:
    told = _read_without_rights(original.file, 0o600)
    assert told == f"{original.file} cannot be read: Permission denied."


def _read_without_rights(file: Path, mode: int) -> str:
    """The projects, or why they cannot be read, where the folder has this mode."""
    script = (
        "import sys; from pathlib import Path; from llm_proxy_site.takeover.original import *\n"
        "try: print([project.name for project in read(Path(sys.argv[1])).projects])\n"
        "except OriginalError as problem: print(problem)"
    )
    return run_without_rights(script, file, folder_mode=mode)


def test_a_locked_file_is_refused(original: OriginalDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_proxy_site.takeover.original.PATIENCE_SECONDS", 0.1)
    with closing(sqlite3.connect(original.file)) as other:
        other.execute("PRAGMA journal_mode=DELETE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(CommandError, match=r"is locked by another program\. Stop the original first\."):
            run("import_llm_proxy", str(original.file))


def test_a_file_that_the_original_still_writes_is_read(original: OriginalDatabase) -> None:
    original.add_project("web")
    with closing(sqlite3.connect(original.file)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE projects SET name = 'half done'")
        assert run_json("import_llm_proxy", str(original.file))["projects"] == 1
    assert Project.objects.get().name == "web"

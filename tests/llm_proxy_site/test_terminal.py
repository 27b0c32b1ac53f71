import re
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management.base import OutputWrapper
from django.db import connection
from django.utils import timezone

from llm_proxy_site.terminal import NO_CONTROLS, Table, progress, show
from tests.databases import own_database_url
from tests.factories import AccessTokenFactory, ProjectFactory, usage_entry
from tests.terminals import at_terminal
from usage.batches import write_batch

TABLE = Table(["ID", "STATE"], [["1", "active"], ["22", "[red]x[/red]\x1b]0;title\x07"]])


class TerminalText(StringIO):
    def isatty(self) -> bool:
        return True


def shown(text: str) -> str:
    """Without colours."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_a_pipe_gets_aligned_columns() -> None:
    output = StringIO()
    show(Table(["ID", "NAME"], [["1", "a"], ["22", ""]]), OutputWrapper(output))
    assert output.getvalue() == "ID  NAME\n1   a\n22\n"


def test_a_table_without_rows_has_its_headings() -> None:
    assert str(Table(["ID", "NAME"], [])) == "ID  NAME"


def test_a_terminal_gets_a_table_in_which_names_are_names() -> None:
    output = TerminalText()
    show(TABLE, OutputWrapper(output))
    assert "[red]x[/red]]0;title" in shown(output.getvalue())
    assert "\x1b]0" not in output.getvalue()
    assert "\x07" not in output.getvalue()


def test_plain_text_is_plain_at_a_terminal_too() -> None:
    output = TerminalText()
    show("[bold]done[/bold]", OutputWrapper(output))
    assert output.getvalue() == "[bold]done[/bold]\n"


def test_only_a_terminal_gets_a_bar_and_only_for_that_is_counted() -> None:
    output = StringIO()
    with progress(OutputWrapper(output), "Working", lambda: pytest.fail("counted")) as advance:
        advance(1)
    assert output.getvalue() == ""
    terminal = TerminalText()
    with progress(OutputWrapper(terminal), "Working", lambda: 2) as advance:
        advance(1)
    assert "Working" in terminal.getvalue()


def test_nobody_commands_the_terminal() -> None:
    assert "a\x1b]0;title\x07\x9bb\nc\td".translate(NO_CONTROLS) == "a]0;titleb\nc\td"


@pytest.mark.django_db(transaction=True)
def test_a_person_sees_tokens_as_a_table_with_whole_ids() -> None:
    token = AccessTokenFactory.create(name="laptop")
    with at_terminal("list_tokens", environment={"DATABASE_URL": own_database_url()}, columns=130) as screen:
        seen = screen.rest()
    assert str(token.id) in shown(seen)
    assert "\x1b[32mactive" in seen
    assert "─" in seen


@pytest.mark.django_db(transaction=True)
def test_a_narrow_terminal_gets_a_row_cell_by_cell() -> None:
    token = AccessTokenFactory.create(name="laptop")
    with at_terminal("list_tokens", environment={"DATABASE_URL": own_database_url()}, columns=70) as screen:
        lines = [line.split() for line in shown(screen.rest()).splitlines()]
    assert ["ID", str(token.id)] in lines
    assert ["NAME", "laptop"] in lines
    assert ["STATE", "active"] in lines


@pytest.mark.django_db(transaction=True)
def test_json_is_json_at_a_terminal_too() -> None:
    ProjectFactory.create(name="web")
    with at_terminal("list_projects", "--json", environment={"DATABASE_URL": own_database_url()}) as screen:
        seen = screen.rest()
    assert seen.startswith("[\r\n  {\r\n")
    assert "\x1b" not in seen


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("arguments", "bar", "whole", "end"),
    [
        (["prune_usage", "--older-than", "2d"], "Deleting", "2/2", "were deleted: 2;"),
        (["rebuild_rollups"], "Summing up", "4/4", "Hours that were summed up anew: 2."),
        (["rotate_encryption_keys"], "Encrypting", "1/1", "Encrypted anew: 0."),
        (["backup_db"], "Copying", "B 0:00" if connection.vendor == "sqlite" else "/?", "verified."),
    ],
)
def test_long_work_has_a_bar_that_knows_how_long(
    arguments: list[str], bar: str, whole: str, end: str, tmp_path: Path
) -> None:
    token, now = AccessTokenFactory.create(), timezone.now()
    days_ago = [(now - timedelta(days=days)).timestamp() for days in (10, 7)]
    write_batch([usage_entry(token, started_at=instant) for instant in days_ago])
    if arguments == ["backup_db"]:
        arguments = [*arguments, str(tmp_path)]
    with at_terminal(*arguments, environment={"DATABASE_URL": own_database_url()}) as screen:
        screen.wait_for(bar)
        seen = shown(screen.rest())
    assert end in seen
    assert whole in seen

"""`manage.py create_tokens`."""

import csv
import os
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any, TextIO

from django.core.management.base import CommandError, OutputWrapper
from django.db import transaction
from django.utils import timezone

from audit.actors import of_command_line
from audit.spreadsheet import harmless
from llm_proxy_site.commands import FactsCommand
from projects.management.options import positive
from projects.management.projects import find_project
from tokens.facts import token_facts
from tokens.lifecycle import MAX_COUNT, issue_many
from tokens.management.tokens import add_issue_options, issue_options, refusals_told

COLUMNS = ["id", "name", "token", "expires_at"]


class Command(FactsCommand):
    help = "Issue any number of access tokens at once. Their plain texts are printed this once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        add_issue_options(parser)
        parser.add_argument("--count", type=_count, required=True, metavar="N", help="how many")
        parser.add_argument(
            "--name", default="", metavar="PREFIX", help="their names: PREFIX-1, PREFIX-2, ..."
        )
        parser.add_argument("--format", choices=["csv", "json"], dest="form", help="json is --json")
        parser.add_argument(
            "--output", type=Path, metavar="FILE", help="a new file, to be read by its owner only"
        )

    def handle(self, *, as_json: bool, **options: Any) -> None:
        as_json = as_json or options["form"] == "json"
        output: Path | None = options.pop("output")
        if output is None:
            super().handle(as_json=as_json, **options)
            return
        printed = self.stdout
        with _new_private_file(output) as stream, transaction.atomic():
            self.stdout = OutputWrapper(stream)
            super().handle(as_json=as_json, **options)
            # On disk before the tokens exist: a plain text that is lost now is lost for ever.
            stream.flush()
            os.fsync(stream.fileno())
        printed.write(
            f"Tokens issued: {options['count']}. Their plain texts are in {output}, and nowhere else."
        )

    def facts(self, *, project: str, count: int, name: str, **options: Any) -> list[dict[str, Any]]:
        with refusals_told():
            issued = issue_many(
                find_project(project),
                count,
                name=name,
                actor=of_command_line(),
                now=timezone.now(),
                **issue_options(options),
            )
        return [{**token_facts(token), "token": plain} for token, plain in issued]

    def text(self, facts: list[dict[str, Any]]) -> str:
        """As CSV, in which no name is a formula."""
        table = StringIO()
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(COLUMNS)
        for token in facts:
            shown = {**token, "name": harmless(token["name"])}
            rows.writerow([shown[column] for column in COLUMNS])
        return table.getvalue()


@contextmanager
def _new_private_file(path: Path) -> Iterator[TextIO]:
    """A file that was not there, for its owner only; gone again if it cannot be filled."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as problem:
        raise _not_written(path, problem) from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            yield stream
    except OSError as problem:
        path.unlink()
        raise _not_written(path, problem) from None
    except BaseException:  # Ctrl-C too: a part must not pass for the whole
        path.unlink()
        raise


def _not_written(path: Path, problem: OSError) -> CommandError:
    return CommandError(f"{path} cannot be written: {problem.strerror}.")


def _count(text: str) -> int:
    count = positive(text)
    if count > MAX_COUNT:
        raise ArgumentTypeError(f"must be at most {MAX_COUNT}")
    return count

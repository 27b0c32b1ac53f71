"""`manage.py import_llm_proxy`."""

import sys
from argparse import ArgumentParser
from dataclasses import asdict
from getpass import getpass
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from audit.actors import of_command_line
from llm_proxy_site.commands import FactsCommand
from llm_proxy_site.takeover.importer import import_all
from llm_proxy_site.takeover.original import OriginalError, read
from llm_proxy_site.takeover.row import shown


class Command(FactsCommand):
    help = "Take over projects, upstream keys and tokens from the SQLite database of the Go original."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "file", type=Path, metavar="FILE", help="the original's database, which is only read"
        )
        parser.add_argument(
            "--encryption-key",
            metavar="FILE|-",
            help="where the original's ENCRYPTION_KEY is, if it had one; - reads it from standard input",
        )
        parser.add_argument("--dry-run", action="store_true", help="only say what it would do")

    def facts(
        self, *, file: Path, encryption_key: str | None, dry_run: bool, **options: Any
    ) -> dict[str, Any]:
        try:
            original = read(file, _read_secret(encryption_key))
            imported = import_all(original, actor=of_command_line(), now=timezone.now(), dry_run=dry_run)
        except OriginalError as problem:
            raise CommandError(str(problem)) from None
        return {**asdict(imported), "unusable_tokens": original.unusable_tokens, "dry_run": dry_run}

    def text(self, facts: dict[str, Any]) -> str:
        lines = [
            f"{'Would be imported' if facts['dry_run'] else 'Imported'}: "
            f"projects {facts['projects']}, tokens {facts['tokens']}. "
            f"Here already, and left as they are: projects {facts['known_projects']}, "
            f"tokens {facts['known_tokens']}."
        ]
        if facts["never_expiring"]:
            lines.append(
                f"Tokens that never expire: {facts['never_expiring']}. `extend_token` gives them an end."
            )
        if facts["caps_of_zero"]:
            lines.append(
                f"Tokens without a cap, for their max_requests was 0: {facts['caps_of_zero']}. "
                "Some versions of the original refused them always. The admin site gives them a cap."
            )
        if facts["unusable_tokens"]:
            lines.append(
                f"Left out, for the original could not have accepted them: {facts['unusable_tokens']}."
            )
        for name in facts["without_key"]:
            named = name if name.isprintable() else shown(name)
            lines.append(f"The project {named} had no upstream key: `add_upstream_key` gives it one.")
        return "\n".join(lines)


def _read_secret(source: str | None) -> str:
    """Never an argument, which others can read."""
    if source is None:
        return ""
    if source != "-":
        try:
            return Path(source).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise CommandError(f"{source} cannot be read.") from None
    return (
        getpass("ENCRYPTION_KEY of the original: ") if sys.stdin.isatty() else sys.stdin.readline()
    ).strip()

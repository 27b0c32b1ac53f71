"""`manage.py restore_db`."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from audit.actors import of_command_line
from llm_proxy_site.backups.errors import BackupError
from llm_proxy_site.backups.restoration import restore
from llm_proxy_site.commands import FactsCommand


class Command(FactsCommand):
    help = "Put a backup in the database's place, which is kept. Servers must have been stopped."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", type=Path, metavar="FILE", help="that backup_db has made")

    def facts(self, *, file: Path, **options: Any) -> dict[str, Any]:
        try:
            restored = restore(file, now=timezone.now(), actor=of_command_line())
        except BackupError as problem:
            raise CommandError(str(problem)) from None
        return {
            "file": str(restored.file),
            "replaced": str(restored.kept) if restored.kept else None,
            "migrations": restored.migrations,
            "unreadable_keys": restored.unreadable_keys,
        }

    def text(self, facts: dict[str, Any]) -> str:
        lines = [f"Restored from {facts['file']}."]
        if facts["replaced"]:
            lines.append(f"The database that was replaced is kept: {facts['replaced']}")
        if facts["migrations"]:
            lines.append(f"It was of an older version: {facts['migrations']} migrations were applied.")
        if facts["unreadable_keys"]:
            lines.append(
                f"No key in ENCRYPTION_KEYS decrypts {facts['unreadable_keys']} of its secrets: "
                "put back the one that does."
            )
        return "\n".join(lines)

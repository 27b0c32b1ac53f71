"""`manage.py backup_db`."""

from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.utils import timezone

from llm_proxy_site.backups.backup import back_up, expected_bytes
from llm_proxy_site.backups.errors import BackupError
from llm_proxy_site.commands import FactsCommand
from llm_proxy_site.terminal import progress


class Command(FactsCommand):
    help = "Back up the database while the proxy goes on, and verify the backup. secrets.env is not in it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "directory",
            type=Path,
            nargs="?",
            metavar="DIR",
            help="where to (default: backups in the data directory)",
        )
        parser.add_argument(
            "--keep", type=_count, metavar="N", help="delete our older backups there but N - 1"
        )

    def facts(self, *, directory: Path | None, keep: int | None, **options: Any) -> dict[str, Any]:
        try:
            with progress(self.stderr, "Copying", expected_bytes, is_bytes=True) as advance:
                folder = directory or settings.DATA_DIR / "backups"
                backup = back_up(folder, timezone.now(), keep=keep, on_growth=advance)
        except BackupError as problem:
            raise CommandError(str(problem)) from None
        return {
            "file": str(backup.file),
            "size_bytes": backup.size_bytes,
            "removed": [str(path) for path in backup.removed],
        }

    def text(self, facts: dict[str, Any]) -> str:
        lines = [f"{facts['file']} ({facts['size_bytes']} bytes), verified."]
        if facts["removed"]:
            lines.append(f"Older backups that were deleted: {len(facts['removed'])}.")
        lines.append("ENCRYPTION_KEYS and SECRET_KEY are not in it: keep secrets.env, elsewhere.")
        return "\n".join(lines)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError("must be a whole number above 0")
    return int(text)

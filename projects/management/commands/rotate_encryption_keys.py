"""`manage.py rotate_encryption_keys`."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from audit.actors import of_command_line
from llm_proxy_site.commands import FactsCommand
from projects.rotation import count_by_key, rotate


class Command(FactsCommand):
    help = "Encrypt upstream keys anew with the first of ENCRYPTION_KEYS, while the proxy goes on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--check",
            action="store_true",
            help="only say how many upstream keys need which of ENCRYPTION_KEYS",
        )

    def handle(self, **options: Any) -> None:
        self._unreadable = 0
        super().handle(**options)
        if self._unreadable:
            raise CommandError(
                f"No key in ENCRYPTION_KEYS decrypts {self._unreadable} upstream key(s): put back the one "
                "that does, or give their projects new ones."
            )

    def facts(self, *, check: bool, **options: Any) -> dict[str, Any]:
        rotated = None if check else rotate(actor=of_command_line()).rotated
        counts = count_by_key()
        self._unreadable = counts[None]
        return {
            "rotated": rotated,
            "upstream_keys": [counts[position] for position in range(len(settings.ENCRYPTION_KEYS))],
            "unreadable": counts[None],
        }

    def text(self, facts: dict[str, Any]) -> str:
        lines = [] if facts["rotated"] is None else [f"Encrypted anew: {facts['rotated']}."]
        newest, *others = facts["upstream_keys"]
        lines.append(f"Upstream keys under the first of ENCRYPTION_KEYS: {newest}.")
        for number, count in enumerate(others, start=2):
            verdict = "still needed" if count else "no longer needed"
            lines.append(f"Key {number} of ENCRYPTION_KEYS: {count} upstream keys; {verdict}.")
        return "\n".join(lines)

"""`manage.py rotate_encryption_keys`."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from audit.actors import of_command_line
from llm_proxy_site.commands import FactsCommand
from llm_proxy_site.terminal import progress
from projects.rotation import count, count_by_key, rotate


class Command(FactsCommand):
    help = (
        "Encrypt upstream keys, second factors and captured bodies anew with the first of ENCRYPTION_KEYS, "
        "beside the proxy."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--check",
            action="store_true",
            help="only say how many secrets need which of ENCRYPTION_KEYS",
        )

    def handle(self, **options: Any) -> None:
        self._unreadable = 0
        super().handle(**options)
        if self._unreadable:
            raise CommandError(
                f"No key in ENCRYPTION_KEYS decrypts {self._unreadable} secret(s): put back the one that "
                "does; or give projects new upstream keys, remove people's second factors, delete captures."
            )

    def facts(self, *, check: bool, **options: Any) -> dict[str, Any]:
        rotated = None if check else self._rotate()
        counts = count_by_key()
        self._unreadable = counts[None]
        return {
            "rotated": rotated,
            "secrets": [counts[position] for position in range(len(settings.ENCRYPTION_KEYS))],
            "unreadable": counts[None],
        }

    def _rotate(self) -> int:
        with progress(self.stderr, "Encrypting", count) as advance:
            return rotate(actor=of_command_line(), on_batch=advance).rotated

    def text(self, facts: dict[str, Any]) -> str:
        lines = [] if facts["rotated"] is None else [f"Encrypted anew: {facts['rotated']}."]
        newest, *others = facts["secrets"]
        lines.append(f"Secrets under the first of ENCRYPTION_KEYS: {newest}.")
        for number, needing in enumerate(others, start=2):
            verdict = "still needed" if needing else "no longer needed"
            lines.append(f"Key {number} of ENCRYPTION_KEYS: {needing} secrets; {verdict}.")
        return "\n".join(lines)

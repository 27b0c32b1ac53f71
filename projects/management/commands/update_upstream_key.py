"""`manage.py update_upstream_key`."""

from argparse import SUPPRESS, ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from audit.actors import of_command_line
from llm_proxy_site.commands import FactsCommand
from projects.facts import key_facts
from projects.lifecycle import update_upstream_key
from projects.management.keys import find_key
from projects.management.options import positive, yes_or_no


class Command(FactsCommand):
    help = "Change an upstream key's name, its weight, or whether it is used."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("key", help="id, as list_upstream_keys shows it")
        parser.add_argument("--name", default=SUPPRESS, help="to tell it from the others")
        parser.add_argument(
            "--weight", type=positive, default=SUPPRESS, metavar="N", help="how often it is used"
        )
        parser.add_argument(
            "--active",
            dest="is_active",
            type=yes_or_no,
            default=SUPPRESS,
            metavar="yes|no",
            help="whether it is used at all",
        )

    def facts(self, *, key: str, **options: Any) -> dict[str, Any]:
        edits = {field: options[field] for field in ("name", "weight", "is_active") if field in options}
        if not edits:
            raise CommandError("Say what to change: an option at least.", returncode=2)
        found = find_key(key)
        changed = update_upstream_key(found, **edits, actor=of_command_line())
        return {**key_facts(found), "changed": changed}

    def text(self, facts: dict[str, Any]) -> str:
        state = "changed." if facts["changed"] else "as it already was."
        return f"Upstream key {facts['key']} of {facts['project']} is {state}"

"""`manage.py revoke_api_key`."""

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from audit.actors import of_command_line
from llm_proxy_site.api.keys import revoke_api_key
from llm_proxy_site.commands import FactsCommand
from llm_proxy_site.management.api_keys import api_key_facts, find_key


class Command(FactsCommand):
    help = "End a key of the management API, at once and for good."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("key", metavar="ID", help="as list_api_keys shows it")

    def facts(self, *, key: str, **options: Any) -> dict[str, Any]:
        found = find_key(key)
        changed = revoke_api_key(found, actor=of_command_line(), now=timezone.now())
        return {**api_key_facts(found), "changed": changed}

    def text(self, facts: dict[str, Any]) -> str:
        return f"API key {facts['key']} ({facts['name']}) " + (
            "is revoked." if facts["changed"] else "was revoked already."
        )

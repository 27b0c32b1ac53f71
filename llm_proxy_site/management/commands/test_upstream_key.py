"""`manage.py test_upstream_key`."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from audit.actors import of_command_line
from llm_proxy_site.commands import FactsCommand
from llm_proxy_site.key_tests import key_test_facts, try_key
from projects.management.keys import find_key


class Command(FactsCommand):
    help = "Ask upstream for its models with an upstream key: whether it works."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("key", help="id, as list_upstream_keys shows it")

    def facts(self, *, key: str, **options: Any) -> dict[str, Any]:
        found = find_key(key)
        tried = try_key(found, actor=of_command_line())
        if not tried.works:
            raise CommandError(f"{found} of {found.project} does not work: {tried.message}")
        return key_test_facts(found, tried)

    def text(self, facts: dict[str, Any]) -> str:
        return f"Upstream key {facts['key']} of {facts['project']} works: {facts['message']}"

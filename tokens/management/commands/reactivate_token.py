"""`manage.py reactivate_token`."""

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from audit.actors import of_command_line
from llm_proxy_site.commands import FactsCommand
from tokens.facts import token_facts
from tokens.lifecycle import reactivate
from tokens.management.tokens import add_token_argument, find_token


class Command(FactsCommand):
    help = "Undo the revocation or deactivation of an access token. Its limits and counters stay."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        add_token_argument(parser)

    def facts(self, *, token: str, **options: Any) -> dict[str, Any]:
        found = find_token(token)
        changed = reactivate(found, actor=of_command_line(), now=timezone.now())
        return {**token_facts(found), "changed": changed}

    def text(self, facts: dict[str, Any]) -> str:
        done = "is reactivated" if facts["changed"] else "was neither revoked nor deactivated"
        return f"Token {facts['id']} {done}; its state is {facts['state']}."

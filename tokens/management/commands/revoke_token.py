"""`manage.py revoke_token`."""

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from audit.actors import of_command_line
from llm_proxy_site.commands import FactsCommand
from tokens.facts import token_facts
from tokens.lifecycle import revoke
from tokens.management.tokens import add_token_argument, find_token


class Command(FactsCommand):
    help = "Revoke an access token: it is refused everywhere within 2 s, until it is reactivated."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        add_token_argument(parser)

    def facts(self, *, token: str, **options: Any) -> dict[str, Any]:
        found = find_token(token)
        changed = revoke(found, actor=of_command_line(), now=timezone.now())
        return {**token_facts(found), "changed": changed}

    def text(self, facts: dict[str, Any]) -> str:
        return f"Token {facts['id']} is revoked." + ("" if facts["changed"] else " It already was.")

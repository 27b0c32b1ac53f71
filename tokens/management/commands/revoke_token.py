"""`manage.py revoke_token`."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from audit.actors import of_command_line
from llm_proxy_site.commands import FactsCommand
from tokens.lifecycle import revoke
from tokens.management.tokens import token_facts
from tokens.models import AccessToken


class Command(FactsCommand):
    help = "Revoke an access token for good: it is refused everywhere within 2 s."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("token", metavar="ID|TOKEN", help="its id, or its plain text")

    def facts(self, *, token: str, **options: Any) -> dict[str, Any]:
        found = AccessToken.objects.select_related("project").of(token).first()
        if found is None:
            raise CommandError("There is no such access token. `list_tokens` shows them all.")
        changed = revoke(found, actor=of_command_line(), now=timezone.now())
        return {**token_facts(found), "changed": changed}

    def text(self, facts: dict[str, Any]) -> str:
        return f"Token {facts['id']} is revoked." + ("" if facts["changed"] else " It already was.")

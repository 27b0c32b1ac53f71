"""`manage.py extend_token`."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.utils import timezone

from audit.actors import of_command_line
from llm_proxy_site.commands import FactsCommand
from projects.management.options import ttl as ttl_option
from tokens.facts import token_facts
from tokens.lifecycle import extend
from tokens.management.tokens import add_token_argument, expiry_text, find_token, refusals_told


class Command(FactsCommand):
    help = "Let an access token, even an expired one, live for so long from now."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        add_token_argument(parser)
        parser.add_argument("--ttl", type=ttl_option, required=True, metavar="15m|24h|7d|never")

    def facts(self, *, token: str, ttl: timedelta, **options: Any) -> dict[str, Any]:
        found = find_token(token)
        with refusals_told():
            extend(found, ttl=ttl, actor=of_command_line(), now=timezone.now())
        return token_facts(found)

    def text(self, facts: dict[str, Any]) -> str:
        return f"Token {facts['id']} {expiry_text(facts)}."

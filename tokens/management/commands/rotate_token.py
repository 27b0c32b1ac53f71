"""`manage.py rotate_token`."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.utils import timezone

from audit.actors import of_command_line
from llm_proxy_site.commands import FactsCommand
from projects.management.options import period
from tokens.facts import token_facts
from tokens.lifecycle import rotate
from tokens.lifetime import DEFAULT_GRACE
from tokens.management.tokens import add_token_argument, find_token, refusals_told


class Command(FactsCommand):
    help = "Give an access token a new plain text, printed this once. The old one works until the grace ends."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        add_token_argument(parser)
        parser.add_argument(
            "--grace",
            type=period,
            default=DEFAULT_GRACE,
            metavar="1h",
            help="how long the old plain text goes on working, 0s to 30d (default: 1h)",
        )

    def facts(self, *, token: str, grace: timedelta, **options: Any) -> dict[str, Any]:
        found = find_token(token)
        with refusals_told():
            plain = rotate(found, grace=grace, actor=of_command_line(), now=timezone.now())
        return {**token_facts(found), "token": plain}

    def text(self, facts: dict[str, Any]) -> str:
        ends_at = facts["previous_token_dies_at"]
        old = f"works until {ends_at}" if ends_at else "is refused from now on"
        return f"{facts['token']}\nShown this once; the plain text before it {old}. Id: {facts['id']}"

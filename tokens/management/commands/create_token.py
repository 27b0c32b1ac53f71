"""`manage.py create_token`."""

from argparse import ArgumentParser, ArgumentTypeError
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.utils import timezone

from audit.actors import of_command_line
from llm_proxy_site.commands import FactsCommand
from projects.management.projects import find_project
from tokens.lifecycle import ProjectInactiveError, issue
from tokens.lifetime import InvalidTTLError, parse_ttl
from tokens.management.tokens import token_facts


class Command(FactsCommand):
    help = "Issue an access token. Its plain text is printed this once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("project", help="name or id")
        parser.add_argument("--name", default="", help="what or whom it is for")
        parser.add_argument(
            "--ttl",
            type=_ttl,
            default=settings.TOKEN_DEFAULT_TTL,
            metavar="15m|24h|7d|never",
            help="how long it lives (default: TOKEN_DEFAULT_TTL)",
        )
        parser.add_argument(
            "--max-requests", type=_positive, metavar="N", help="how many requests it may make"
        )

    def facts(
        self, *, project: str, name: str, ttl: timedelta, max_requests: int | None, **options: Any
    ) -> dict[str, Any]:
        try:
            token, plain = issue(
                find_project(project),
                name=name,
                ttl=ttl,
                max_requests=max_requests,
                actor=of_command_line(),
                now=timezone.now(),
            )
        except ProjectInactiveError as problem:
            raise CommandError(f"{problem} `activate_project` switches it on.") from None
        return {**token_facts(token), "token": plain}

    def text(self, facts: dict[str, Any]) -> str:
        until = f"expires at {facts['expires_at']}" if facts["expires_at"] else "never expires"
        return f"{facts['token']}\nShown this once; {until}. Id: {facts['id']}"


def _ttl(text: str) -> timedelta:
    try:
        return parse_ttl(text)
    except InvalidTTLError as problem:
        raise ArgumentTypeError(str(problem)) from None


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) < 2**63:
        raise ArgumentTypeError("must be a whole number above 0")
    return int(text)

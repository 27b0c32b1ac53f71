"""`manage.py create_api_key`."""

from argparse import ArgumentParser, ArgumentTypeError
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from audit.actors import of_command_line
from llm_proxy_site.api.keys import DEFAULT_TTL, create_api_key
from llm_proxy_site.api.scopes import ApiScope, UnknownScopeError, read_scopes
from llm_proxy_site.commands import FactsCommand
from llm_proxy_site.management.api_keys import api_key_facts
from projects.lifetime import InvalidTTLError
from projects.management.options import ttl as ttl_option
from projects.management.people import find_user


class Command(FactsCommand):
    help = "Make a key of the management API for a person. Its plain text is printed this once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("user", help="whose role and projects bound it")
        parser.add_argument("--name", required=True, help="what will use it")
        parser.add_argument(
            "--scopes",
            type=_scopes,
            required=True,
            metavar="SCOPE,...",
            help=f"{', '.join(ApiScope)}; read: all that read; all",
        )
        parser.add_argument(
            "--ttl",
            type=ttl_option,
            default=DEFAULT_TTL,
            metavar="90d",
            help="how long it lives, 1m to 365d (default: 90d)",
        )

    def facts(
        self, *, user: str, name: str, scopes: frozenset[ApiScope], ttl: timedelta, **options: Any
    ) -> dict[str, Any]:
        try:
            key, plain = create_api_key(
                find_user(user),
                name=name,
                scopes=scopes,
                ttl=ttl,
                actor=of_command_line(),
                now=timezone.now(),
            )
        except InvalidTTLError as problem:
            raise CommandError(str(problem)) from None
        return {**api_key_facts(key), "plain_text": plain}

    def text(self, facts: dict[str, Any]) -> str:
        return f"{facts['plain_text']}\nShown this once; expires at {facts['expires_at']}. Id: {facts['id']}"


def _scopes(text: str) -> frozenset[ApiScope]:
    try:
        return read_scopes(text)
    except UnknownScopeError as problem:
        raise ArgumentTypeError(str(problem)) from None

"""`manage.py chat`."""

import sys
from argparse import ArgumentParser
from getpass import getpass
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from llm_proxy_site.chat.answers import ChatError, open_client
from llm_proxy_site.chat.conversation import Conversation
from llm_proxy_site.chat.costs import open_prices
from llm_proxy_site.chat.screen import Screen
from llm_proxy_site.chat.session import Session
from tokens.format import may_be_known

DEFAULT_MODEL = "gpt-4o-mini"


class Command(BaseCommand):
    help = "Talk to a model through the proxy. The access token is OPENAI_API_KEY's, or is asked for."
    # It is a client: it runs where no proxy is set up.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--base-url",
            default=settings.CHAT_BASE_URL,
            metavar="URL",
            help="the proxy's, with /v1 (default: OPENAI_BASE_URL, or %(default)s)",
        )
        parser.add_argument("--model", default=DEFAULT_MODEL, help="default: %(default)s")
        parser.add_argument("--system", default="", metavar="TEXT", help="what it is told before all else")

    def handle(self, *, base_url: str, model: str, system: str, **options: Any) -> None:
        screen = Screen(sys.stdout, sys.stderr)
        if not base_url.startswith(("http://", "https://")):
            raise CommandError("A base URL is http(s)://HOST[:PORT]/v1.", returncode=2)
        token = _token()
        if screen.is_interactive:
            screen.note(f"{model} at {base_url}. /help shows the commands.")
        with open_client(base_url, token) as client:
            try:
                Conversation(client, Session(model, system), screen, open_prices()).run()
            except ChatError as problem:
                raise CommandError(str(problem)) from None
            except KeyboardInterrupt:
                raise SystemExit(130) from None


def _token() -> str:
    """Never an argument, which others can read. Anything but an access token, such as a key of upstream's, is
    sent nowhere. Raises CommandError.
    """
    token: str = settings.CHAT_TOKEN
    if not token and sys.stdin.isatty():
        token = getpass("Access token: ").strip()
    if not may_be_known(token):
        raise CommandError(
            "That is no access token. Set OPENAI_API_KEY to one, or type it when it is asked for.",
            returncode=2,
        )
    return token

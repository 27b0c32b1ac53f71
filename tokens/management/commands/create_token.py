"""`manage.py create_token`."""

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from audit.actors import of_command_line
from llm_proxy_site.commands import FactsCommand
from projects.management.projects import find_project
from tokens.facts import token_facts
from tokens.lifecycle import issue
from tokens.management.tokens import (
    add_issue_options,
    expiry_text,
    issue_options,
    refusals_told,
)


class Command(FactsCommand):
    help = "Issue an access token. Its plain text is printed this once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        add_issue_options(parser)
        parser.add_argument("--name", default="", help="what or whom it is for")

    def facts(self, *, project: str, name: str, **options: Any) -> dict[str, Any]:
        with refusals_told():
            token, plain = issue(
                find_project(project),
                name=name,
                actor=of_command_line(),
                now=timezone.now(),
                **issue_options(options),
            )
        return {**token_facts(token), "token": plain}

    def text(self, facts: dict[str, Any]) -> str:
        return f"{facts['token']}\nShown this once; {expiry_text(facts)}. Id: {facts['id']}"

"""`manage.py list_tokens`."""

from argparse import ArgumentParser
from typing import Any

from llm_proxy_site.commands import FactsCommand
from llm_proxy_site.terminal import Table
from projects.management.projects import find_project, limits_text, rules_text
from tokens.facts import token_facts
from tokens.models import AccessToken


class Command(FactsCommand):
    help = "List access tokens, the newest first. Plain texts cannot be shown: they are not stored."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--project", help="of this project only: name or id")

    def facts(self, *, project: str | None, **options: Any) -> list[dict[str, Any]]:
        tokens = AccessToken.objects.select_related("project")
        if project is not None:
            tokens = tokens.filter(project=find_project(project))
        return [token_facts(token) for token in tokens]

    def text(self, facts: list[dict[str, Any]]) -> Table:
        rows = [
            [
                token["id"],
                token["display"],
                token["name"] or "-",
                token["project"],
                token["state"],
                token["expires_at"] or "never",
                f"{token['request_count']}/{token['max_requests'] or '-'}",
                limits_text({**token, "max_requests": None}),
                rules_text(token),
            ]
            for token in facts
        ]
        return Table(
            ["ID", "TOKEN", "NAME", "PROJECT", "STATE", "EXPIRES", "REQUESTS", "LIMITS", "RULES"], rows
        )

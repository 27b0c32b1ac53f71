"""`manage.py list_shadow_refusals`."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.utils import timezone

from llm_proxy_site.commands import FactsCommand
from llm_proxy_site.terminal import Table
from projects.management.options import period
from projects.management.projects import find_project
from projects.models import Project
from tokens.models import AccessToken
from usage.shadow import count_shadow_refusals


class Command(FactsCommand):
    help = "Count what rules in shadow mode would have refused, by token."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--project", help="of this project only: name or id")
        parser.add_argument(
            "--since", type=period, default=timedelta(days=7), metavar="7d", help="how far back (default: 7d)"
        )

    def facts(self, *, project: str | None, since: timedelta, **options: Any) -> list[dict[str, Any]]:
        project_id = None if project is None else find_project(project).id
        counts = count_shadow_refusals(timezone.now() - since, project_id)
        projects = dict(Project.objects.values_list("id", "name"))
        tokens = AccessToken.objects.in_bulk({token for _, token, _ in counts})
        return [
            {
                "code": code,
                "requests": requests,
                "project": projects.get(project_id, str(project_id)),
                "token_id": str(token_id),
                "token": str(tokens[token_id]) if token_id in tokens else None,
            }
            for (project_id, token_id, code), requests in counts.most_common()
        ]

    def text(self, facts: list[dict[str, Any]]) -> Table:
        rows = [
            [each["code"], str(each["requests"]), each["project"], each["token_id"], each["token"] or "gone"]
            for each in facts
        ]
        return Table(["CODE", "REQUESTS", "PROJECT", "TOKEN", "NAME"], rows)

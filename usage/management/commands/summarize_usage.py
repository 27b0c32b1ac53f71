"""`manage.py summarize_usage`."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from llm_proxy_site.commands import FactsCommand
from llm_proxy_site.terminal import Table
from projects.management.options import period, positive
from projects.management.projects import find_project
from tokens.management.tokens import find_token
from usage.rollups import Scope, Span
from usage.summaries import GroupBy, period_of, summary_facts

LONGEST = timedelta(days=3 * 366)


class Command(FactsCommand):
    help = "Sum up what was used: by day, hour, project, token or model, the last line in all."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--by", type=GroupBy, choices=list(GroupBy), default=GroupBy.DAY)
        parser.add_argument(
            "--last", type=period, default=timedelta(days=7), metavar="7d", help="how far back (default: 7d)"
        )
        parser.add_argument("--project", help="of this project only: name or id")
        parser.add_argument("--token", help="of this access token only: id or plain text")
        parser.add_argument(
            "--limit", type=positive, default=50, metavar="N", help="groups, the dearest first (default: 50)"
        )

    def facts(
        self,
        *,
        by: GroupBy,
        last: timedelta,
        project: str | None,
        token: str | None,
        limit: int,
        **options: Any,
    ) -> dict[str, Any]:
        if by is GroupBy.MODEL and token is not None:
            raise CommandError("Of one token, usage is not summed up by model.", returncode=2)
        if last > LONGEST:
            raise CommandError(f"{LONGEST.days} days at most can be summed up.", returncode=2)
        scope = Scope(
            None if project is None else find_project(project).id,
            None if token is None else find_token(token).id,
        )
        now = timezone.now()
        span = Span.between(period_of(by, last), now - last, now)
        return summary_facts(by, span, scope, limit)

    def text(self, facts: dict[str, Any]) -> Table:
        groups = [*facts["data"], {**facts["total"], "key": "in all", "name": None}]
        rows = [
            [
                each["key"] or "-",
                each["name"] or "-",
                *(str(each[count]) for count in ("requests", "refused", "input_tokens", "output_tokens")),
                each["cost_usd"],
            ]
            for each in groups
        ]
        heading = facts["group_by"].upper()
        return Table([heading, "NAME", "REQUESTS", "REFUSED", "INPUT", "OUTPUT", "COST IN USD"], rows)

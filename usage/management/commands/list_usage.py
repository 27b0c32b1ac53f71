"""`manage.py list_usage`."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.utils import timezone

from llm_proxy_site.commands import FactsCommand
from llm_proxy_site.terminal import Table
from projects.management.options import period, positive
from projects.management.projects import find_project
from tokens.management.tokens import find_token
from usage.facts import record_facts
from usage.models import UsageRecord
from usage.outcomes import Outcome
from usage.seldom import unless_usual

LARGEST = 2**63 - 1
"""That a database takes for a number of rows."""


class Command(FactsCommand):
    help = "List the ledger's requests, the newest first."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--project", help="of this project only: name or id")
        parser.add_argument("--token", help="of this access token only: id or plain text")
        parser.add_argument("--model", help="of this model only, as the answer named it")
        parser.add_argument("--outcome", choices=Outcome.values, help="that ended in this way only")
        parser.add_argument(
            "--last",
            type=period,
            default=timedelta(days=1),
            metavar="24h",
            help="how far back (default: 24h)",
        )
        parser.add_argument("--limit", type=positive, default=50, metavar="N", help="default: 50")

    def handle(self, *, as_json: bool, **options: Any) -> None:
        self._has_more = False
        super().handle(as_json=as_json, **options)
        if self._has_more and not as_json:
            self.stderr.write(f"There are more: only the newest {options['limit']} are shown (--limit).")

    def facts(
        self,
        *,
        project: str | None,
        token: str | None,
        model: str | None,
        outcome: str | None,
        last: timedelta,
        limit: int,
        **options: Any,
    ) -> list[dict[str, Any]]:
        records = UsageRecord.objects.filter(started_at__gte=timezone.now() - last)
        if project is not None:
            records = records.filter(project_id=find_project(project).id)
        if token is not None:
            records = records.filter(token_id=find_token(token).id)
        if model is not None:
            records = records.filter(model=model)
        if outcome is not None:
            records = records.filter(unless_usual("outcome", [outcome]), outcome=outcome)
        found = records[: min(limit + 1, LARGEST)]
        self._has_more = len(found) > limit
        return [record_facts(record) for record in found[:limit]]

    def text(self, facts: list[dict[str, Any]]) -> Table:
        rows = [
            [
                each["started_at"],
                each["id"],
                each["endpoint"] or each["path"],
                each["model"] or "-",
                str(each["status"] or "-"),
                each["error_code"] or each["outcome"],
                _count(each["input_tokens"]),
                _count(each["output_tokens"]),
                each["cost_usd"] or "unpriced",
                f"{each['duration_seconds']:.3f}",
            ]
            for each in facts
        ]
        counts = ["INPUT", "OUTPUT", "COST IN USD", "SECONDS"]
        return Table(["STARTED", "ID", "ENDPOINT", "MODEL", "STATUS", "ENDED", *counts], rows)


def _count(model_tokens: int | None) -> str:
    return "-" if model_tokens is None else str(model_tokens)

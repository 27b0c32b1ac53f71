"""`manage.py list_upstream_keys`."""

from argparse import ArgumentParser
from typing import Any

from llm_proxy_site.commands import FactsCommand
from llm_proxy_site.terminal import Table
from projects.facts import key_facts
from projects.management.projects import find_project
from projects.models import UpstreamKey


class Command(FactsCommand):
    help = "List upstream keys, by their last four characters, and how they are."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("project", nargs="?", help="name or id (default: all projects)")

    def facts(self, *, project: str | None, **options: Any) -> list[dict[str, Any]]:
        keys = UpstreamKey.objects.select_related("project").order_by("project__name", "created_at")
        if project is not None:
            keys = keys.filter(project=find_project(project))
        return [key_facts(key) for key in keys]

    def text(self, facts: list[dict[str, Any]]) -> Table:
        rows = [
            [
                key["id"],
                key["project"],
                key["name"] or "-",
                key["key"],
                str(key["weight"]),
                "active" if key["is_active"] else "inactive",
                key["health"],
            ]
            for key in facts
        ]
        return Table(["ID", "PROJECT", "NAME", "KEY", "WEIGHT", "STATE", "HEALTH"], rows)

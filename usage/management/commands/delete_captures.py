"""`manage.py delete_captures`."""

from argparse import ArgumentParser
from typing import Any

from audit.actors import of_command_line
from llm_proxy_site.commands import FactsCommand
from projects.management.projects import find_project
from usage.captures.pruning import delete_all


class Command(FactsCommand):
    help = "Delete whatever was kept of the bodies of a project's requests. What comes later stays."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("project", help="name or id")

    def facts(self, *, project: str, **options: Any) -> dict[str, Any]:
        found = find_project(project)
        return {"project": found.name, "deleted": delete_all(found, actor=of_command_line())}

    def text(self, facts: dict[str, Any]) -> str:
        return f"Requests of {facts['project']} whose bodies were deleted: {facts['deleted']}."

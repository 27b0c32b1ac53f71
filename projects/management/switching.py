"""The two commands that switch a project on and off are this one, twice."""

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from audit.actors import of_command_line
from llm_proxy_site.commands import FactsCommand
from projects.facts import project_facts
from projects.lifecycle import set_project_active
from projects.management.projects import find_project


class SwitchCommand(FactsCommand):
    active: bool

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("project", help="name or id")

    def facts(self, *, project: str, **options: Any) -> dict[str, Any]:
        found = find_project(project)
        changed = set_project_active(found, self.active, actor=of_command_line(), now=timezone.now())
        return {**project_facts(found), "changed": changed}

    def text(self, facts: dict[str, Any]) -> str:
        state = "active" if facts["is_active"] else "inactive"
        return f"Project {facts['name']} is {state}." + ("" if facts["changed"] else " It already was.")

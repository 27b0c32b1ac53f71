"""`manage.py update_project`."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from audit.actors import of_command_line
from llm_proxy_site.commands import FactsCommand
from projects.facts import project_facts
from projects.lifecycle import update_project
from projects.management.options import (
    add_limit_options,
    add_policy_options,
    add_upstream_options,
    limits_in,
    policy_in,
    upstream_in,
)
from projects.management.projects import find_project


class Command(FactsCommand):
    help = "Change the upstream, policy, limits and budgets of a project. What is not named stays as it is."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("project", help="name or id")
        add_upstream_options(parser)
        add_policy_options(parser)
        add_limit_options(parser)

    def facts(self, *, project: str, **options: Any) -> dict[str, Any]:
        edits = {**upstream_in(options), **policy_in(options), **limits_in(options)}
        if not edits:
            raise CommandError("Say what to change: an option at least.", returncode=2)
        found = find_project(project)
        changed = update_project(found, actor=of_command_line(), **edits)
        return {**project_facts(found), "changed": changed}

    def text(self, facts: dict[str, Any]) -> str:
        return f"Project {facts['name']} is " + ("changed." if facts["changed"] else "as it already was.")

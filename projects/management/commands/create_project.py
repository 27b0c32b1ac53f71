"""`manage.py create_project`."""

from argparse import ArgumentParser
from typing import Any

from audit.actors import of_command_line
from llm_proxy_site.commands import FactsCommand
from projects.facts import project_facts
from projects.lifecycle import create_project
from projects.management.keys import read_key
from projects.management.options import (
    add_limit_options,
    add_policy_options,
    add_upstream_options,
    limits_in,
    policy_in,
    upstream_in,
)


class Command(FactsCommand):
    help = "Make a project with its first upstream key."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name")
        parser.add_argument(
            "--upstream-key",
            required=True,
            metavar="KEY|-",
            help="the upstream API key; - reads it from standard input, out of sight of `ps` and the history",
        )
        add_upstream_options(parser)
        add_policy_options(parser)
        add_limit_options(parser)

    def facts(self, *, name: str, upstream_key: str, **options: Any) -> dict[str, Any]:
        key = read_key(upstream_key)
        project = create_project(
            name=name,
            upstream_key=key,
            actor=of_command_line(),
            **upstream_in(options),
            **policy_in(options),
            **limits_in(options),
        )
        return project_facts(project)

    def text(self, facts: dict[str, Any]) -> str:
        return f"Project {facts['name']} ({facts['id']})"

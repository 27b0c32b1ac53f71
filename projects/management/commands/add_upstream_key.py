"""`manage.py add_upstream_key`."""

from argparse import ArgumentParser
from typing import Any

from audit.actors import of_command_line
from llm_proxy_site.commands import FactsCommand
from projects.facts import key_facts
from projects.lifecycle import add_upstream_key
from projects.management.keys import read_key
from projects.management.options import positive
from projects.management.projects import find_project


class Command(FactsCommand):
    help = "Give a project another upstream key."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("project", help="name or id")
        parser.add_argument(
            "--key",
            required=True,
            metavar="KEY|-",
            help="the upstream API key; - reads it from standard input, out of sight of `ps` and the history",
        )
        parser.add_argument("--name", default="", help="to tell it from the others")
        parser.add_argument(
            "--weight", type=positive, default=1, metavar="N", help="how often it is used (default: 1)"
        )

    def facts(self, *, project: str, key: str, name: str, weight: int, **options: Any) -> dict[str, Any]:
        owner = find_project(project)
        added = add_upstream_key(owner, read_key(key), name=name, weight=weight, actor=of_command_line())
        return key_facts(added)

    def text(self, facts: dict[str, Any]) -> str:
        return f"Upstream key {facts['key']} of {facts['project']} ({facts['id']})"

"""`manage.py create_trust_rule`."""

from argparse import ArgumentParser
from typing import Any

from audit.actors import of_command_line
from llm_proxy_site.commands import FactsCommand
from tokens.exchange.facts import rule_facts
from tokens.exchange.lifecycle import create_rule
from tokens.management.trust_rules import add_rule_options, rule_fields


class Command(FactsCommand):
    help = "Let those who show a certain JWT, such as jobs of a repository, have access tokens of a project."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name", help="to tell it from the others")
        add_rule_options(parser, is_new=True)

    def facts(self, *, name: str, **options: Any) -> dict[str, Any]:
        return rule_facts(create_rule(name=name, actor=of_command_line(), **rule_fields(options)))

    def text(self, facts: dict[str, Any]) -> str:
        return f"Trust rule {facts['name']} of {facts['project']} ({facts['id']})"

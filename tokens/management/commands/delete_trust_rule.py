"""`manage.py delete_trust_rule`."""

from argparse import ArgumentParser
from typing import Any

from audit.actors import of_command_line
from llm_proxy_site.commands import FactsCommand
from tokens.exchange.facts import rule_facts
from tokens.exchange.lifecycle import delete_rule
from tokens.management.trust_rules import add_rule_argument, find_rule


class Command(FactsCommand):
    help = "Delete a trust rule. The access tokens that it has issued live on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        add_rule_argument(parser)

    def facts(self, *, rule: str, **options: Any) -> dict[str, Any]:
        found = find_rule(rule)
        facts = rule_facts(found)
        delete_rule(found, actor=of_command_line())
        return facts

    def text(self, facts: dict[str, Any]) -> str:
        return f"Trust rule {facts['name']} is deleted. `revoke_tokens` ends the tokens that it has issued."

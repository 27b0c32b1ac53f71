"""`manage.py update_trust_rule`."""

from argparse import SUPPRESS, ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from audit.actors import of_command_line
from llm_proxy_site.commands import FactsCommand
from projects.management.options import yes_or_no
from tokens.exchange.facts import rule_facts
from tokens.exchange.lifecycle import update_rule
from tokens.management.trust_rules import (
    add_rule_argument,
    add_rule_options,
    find_rule,
    rule_fields,
)


class Command(FactsCommand):
    help = "Change a trust rule, or switch it off and on. What is not named stays, so do its tokens."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        add_rule_argument(parser)
        parser.add_argument("--name", default=SUPPRESS, help="a new name")
        parser.add_argument("--active", dest="is_active", type=yes_or_no, default=SUPPRESS, metavar="yes|no")
        add_rule_options(parser, is_new=False)

    def facts(self, *, rule: str, **options: Any) -> dict[str, Any]:
        edits = rule_fields(options)
        edits |= {field: options[field] for field in ("name", "is_active") if field in options}
        if not edits:
            raise CommandError("Say what to change: an option at least.", returncode=2)
        found = find_rule(rule)
        changed = update_rule(found, actor=of_command_line(), **edits)
        return {**rule_facts(found), "changed": changed}

    def text(self, facts: dict[str, Any]) -> str:
        return f"Trust rule {facts['name']} is " + ("changed." if facts["changed"] else "as it already was.")

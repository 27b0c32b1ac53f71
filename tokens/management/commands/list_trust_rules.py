"""`manage.py list_trust_rules`."""

from argparse import ArgumentParser
from typing import Any

from llm_proxy_site.commands import FactsCommand
from llm_proxy_site.terminal import Table
from projects.management.projects import find_project, limits_text, rules_text
from tokens.exchange.claims import claim_lines
from tokens.exchange.facts import rule_facts
from tokens.exchange.models import TrustRule


class Command(FactsCommand):
    help = "List the trust rules: whose JWTs are exchanged for access tokens."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--project", help="of this project only: name or id")

    def facts(self, *, project: str | None, **options: Any) -> list[dict[str, Any]]:
        rules = TrustRule.objects.select_related("project")
        if project is not None:
            rules = rules.filter(project=find_project(project))
        return [rule_facts(rule) for rule in rules]

    def text(self, facts: list[dict[str, Any]]) -> Table:
        rows = [
            [
                rule["name"],
                rule["project"],
                "active" if rule["is_active"] else "inactive",
                rule["issuer"],
                rule["audience"],
                " ".join(claim_lines(rule["claims"])),
                rule["ttl"],
                limits_text(rule),
                rules_text(rule),
                rule["last_used_at"] or "never",
            ]
            for rule in facts
        ]
        headings = [
            "NAME",
            "PROJECT",
            "STATE",
            "ISSUER",
            "AUDIENCE",
            "CLAIMS",
            "TTL",
            "LIMITS",
            "RULES",
            "USED",
        ]
        return Table(headings, rows)

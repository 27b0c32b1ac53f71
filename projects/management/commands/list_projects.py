"""`manage.py list_projects`."""

from typing import Any

from llm_proxy_site.commands import FactsCommand
from llm_proxy_site.terminal import Table
from projects.facts import project_facts
from projects.lifetime import MAX_TTL, ttl_text
from projects.management.projects import limits_text, rules_text
from projects.models import Project


class Command(FactsCommand):
    help = "List all projects."

    def facts(self, **options: Any) -> list[dict[str, Any]]:
        return [project_facts(project) for project in Project.objects.prefetch_related("upstream_keys")]

    def text(self, facts: list[dict[str, Any]]) -> Table:
        rows = [
            [
                project["id"],
                project["name"],
                "active" if project["is_active"] else "inactive",
                " ".join(project["upstream_keys"]) or "-",
                project["base_url"] or project["provider"] or "default",
                _lifetimes(project),
                limits_text(project),
                rules_text(project),
            ]
            for project in facts
        ]
        return Table(["ID", "NAME", "STATE", "KEYS", "UPSTREAM", "LIFETIMES", "LIMITS", "RULES"], rows)


def _lifetimes(project: dict[str, Any]) -> str:
    longest = "never" if project["permits_never"] else project["longest_ttl"] or ttl_text(MAX_TTL)
    return f"{project['default_ttl'] or 'default'}..{longest}"

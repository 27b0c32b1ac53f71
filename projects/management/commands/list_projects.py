"""`manage.py list_projects`."""

from typing import Any

from llm_proxy_site.commands import FactsCommand, table
from projects.management.projects import project_facts
from projects.models import Project


class Command(FactsCommand):
    help = "List all projects."

    def facts(self, **options: Any) -> list[dict[str, Any]]:
        return [project_facts(project) for project in Project.objects.prefetch_related("upstream_keys")]

    def text(self, facts: list[dict[str, Any]]) -> str:
        rows = [
            [
                project["id"],
                project["name"],
                "active" if project["is_active"] else "inactive",
                " ".join(project["upstream_keys"]) or "-",
                project["base_url"] or "default",
            ]
            for project in facts
        ]
        return table(["ID", "NAME", "STATE", "KEYS", "BASE URL"], rows)

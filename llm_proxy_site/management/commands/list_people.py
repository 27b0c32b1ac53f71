"""`manage.py list_people`."""

from typing import Any

from django.contrib.auth.models import User

from llm_proxy_site.commands import FactsCommand
from llm_proxy_site.people.facts import person_facts
from llm_proxy_site.terminal import Table


class Command(FactsCommand):
    help = "List people, with their roles."

    def facts(self, **options: Any) -> list[dict[str, Any]]:
        return [person_facts(user) for user in User.objects.prefetch_related("groups").order_by("username")]

    def text(self, facts: list[dict[str, Any]]) -> Table:
        rows = [
            [
                person["username"],
                "superuser" if person["is_superuser"] else person["role"] or "-",
                "active" if person["is_active"] else "inactive",
                person["email"] or "-",
                person["last_signed_in_at"] or "never",
            ]
            for person in facts
        ]
        return Table(["USER", "ROLE", "STATE", "EMAIL", "SIGNED IN"], rows)

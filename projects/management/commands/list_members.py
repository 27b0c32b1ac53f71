"""`manage.py list_members`."""

from argparse import ArgumentParser
from typing import Any

from llm_proxy_site.commands import FactsCommand
from llm_proxy_site.terminal import Table
from projects.facts import member_facts
from projects.management.people import find_user
from projects.management.projects import find_project
from projects.models import Membership


class Command(FactsCommand):
    help = (
        "List who sees which project. Superusers and the role `admin` see every one, and need not be members."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("project", nargs="?", help="name or id (default: all projects)")
        parser.add_argument("--user", help="this person only")

    def facts(self, *, project: str | None, user: str | None, **options: Any) -> list[dict[str, Any]]:
        members = Membership.objects.select_related("project", "user").prefetch_related("user__groups")
        if project is not None:
            members = members.filter(project=find_project(project))
        if user is not None:
            members = members.filter(user=find_user(user))
        return [member_facts(member) for member in members.order_by("project__name", "created_at")]

    def text(self, facts: list[dict[str, Any]]) -> Table:
        rows = [
            [
                member["project"],
                member["username"],
                member["role"] or "-",
                "active" if member["is_active"] else "inactive",
                member["since"],
            ]
            for member in facts
        ]
        return Table(["PROJECT", "USER", "ROLE", "STATE", "SINCE"], rows)

"""The two commands that add and remove a member are this one, twice."""

from argparse import ArgumentParser
from typing import Any

from audit.actors import of_command_line
from llm_proxy_site.commands import FactsCommand
from projects.lifecycle import add_member, remove_member
from projects.management.people import find_user
from projects.management.projects import find_project


class MembershipCommand(FactsCommand):
    is_member: bool
    """Whether they are one afterwards."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("project", help="name or id")
        parser.add_argument("user")

    def facts(self, *, project: str, user: str, **options: Any) -> dict[str, Any]:
        found, person = find_project(project), find_user(user)
        act = add_member if self.is_member else remove_member
        changed = act(found, person, actor=of_command_line())
        return {
            "project_id": str(found.id),
            "project": found.name,
            "username": person.get_username(),
            "is_member": self.is_member,
            "changed": changed,
        }

    def text(self, facts: dict[str, Any]) -> str:
        state = "is a member" if facts["is_member"] else "is no member"
        done = f"{facts['username']} {state} of {facts['project']}."
        return done if facts["changed"] else f"{done} It already was so."

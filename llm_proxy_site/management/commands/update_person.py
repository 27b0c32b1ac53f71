"""`manage.py update_person`."""

from argparse import SUPPRESS, ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from audit.actors import of_command_line
from llm_proxy_site.commands import FactsCommand
from llm_proxy_site.people.facts import person_facts
from llm_proxy_site.people.lifecycle import update_person
from projects.access import ROLES
from projects.management.options import yes_or_no
from projects.management.people import find_user


class Command(FactsCommand):
    help = "Change a person's role, or switch a person off and on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("user")
        parser.add_argument(
            "--role", choices=[*ROLES, "none"], default=SUPPRESS, help="what they may do (none: nothing)"
        )
        parser.add_argument("--active", dest="is_active", type=yes_or_no, default=SUPPRESS, metavar="yes|no")

    def facts(self, *, user: str, **options: Any) -> dict[str, Any]:
        edits = {field: options[field] for field in ("role", "is_active") if field in options}
        if not edits:
            raise CommandError("Say what to change: an option at least.", returncode=2)
        if edits.get("role") == "none":
            edits["role"] = None
        changed = update_person(find_user(user), **edits, actor=of_command_line())
        return {**person_facts(find_user(user)), "changed": changed}

    def text(self, facts: dict[str, Any]) -> str:
        return f"{facts['username']} is " + ("changed." if facts["changed"] else "as they already were.")

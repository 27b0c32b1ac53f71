"""`manage.py create_person`."""

import sys
from argparse import ArgumentParser
from getpass import getpass
from typing import Any

from audit.actors import of_command_line
from llm_proxy_site.commands import FactsCommand
from llm_proxy_site.people.facts import person_facts
from llm_proxy_site.people.lifecycle import create_person
from projects.access import ROLES


class Command(FactsCommand):
    help = "Make an account for a person. The password is asked for, or read from standard input."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("user")
        parser.add_argument("--email", default="")
        parser.add_argument("--role", choices=ROLES, help="what they may do (default: nothing)")
        parser.add_argument(
            "--no-password", action="store_true", help="ask for none: they come by single sign-on only"
        )

    def facts(
        self, *, user: str, email: str, role: str | None, no_password: bool, **options: Any
    ) -> dict[str, Any]:
        password = "" if no_password else _read_password()
        person = create_person(user, email=email, role=role, password=password, actor=of_command_line())
        return person_facts(person)

    def text(self, facts: dict[str, Any]) -> str:
        return f"{facts['username']} may sign in" + (f" as {facts['role']}." if facts["role"] else ".")


def _read_password() -> str:
    """No option: others could see it."""
    if sys.stdin.isatty():
        return getpass("Their password: ")
    return sys.stdin.readline().rstrip("\r\n")

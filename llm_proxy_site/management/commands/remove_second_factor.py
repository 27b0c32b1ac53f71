"""`manage.py remove_second_factor`."""

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandError

from audit.actors import of_command_line
from llm_proxy_site.commands import FactsCommand
from llm_proxy_site.people import second_factor


class Command(FactsCommand):
    help = "Let a person who has lost their app and their recovery codes sign in with their password alone."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("username")

    def facts(self, *, username: str, **options: Any) -> dict[str, Any]:
        user = User.objects.filter(username=username).first()
        if user is None:
            raise CommandError(f"There is nobody named {username}.")
        return {"username": username, "removed": second_factor.remove(user, actor=of_command_line())}

    def text(self, facts: dict[str, Any]) -> str:
        done = "The second factor was removed" if facts["removed"] else "There was no second factor"
        return f"{done}: {facts['username']}."

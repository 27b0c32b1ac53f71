"""What our commands share: facts as readable text, or as JSON with --json. Exit codes: 0 done, 1 it could
not be done (with a sentence on standard error), 2 the command line makes no sense.
"""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import Error

from llm_proxy_site.checks import TAG
from llm_proxy_site.terminal import Table, show


class FactsCommand(BaseCommand):
    """A command that prints facts: `facts` gives plain data, `text` turns it into lines for people."""

    requires_system_checks = [TAG]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON")

    def handle(self, *, as_json: bool, **options: Any) -> None:
        try:
            facts = self.facts(**options)
        except ValidationError as problem:
            raise CommandError(sentence(problem)) from None
        except UnicodeEncodeError:
            raise CommandError("The command line is not valid UTF-8.") from None
        except Error as problem:
            raise no_answer(problem) from None
        show(json.dumps(facts, indent=2) if as_json else self.text(facts), self.stdout)

    def facts(self, *args: Any, **options: Any) -> Any:
        raise NotImplementedError

    def text(self, facts: Any) -> str | Table:
        raise NotImplementedError


def no_answer(problem: Error) -> CommandError:
    return CommandError(f"The database does not answer: {' '.join(str(problem).split())}")


def sentence(problem: ValidationError) -> str:
    """A validation error in one line."""
    if not hasattr(problem, "error_dict"):
        return " ".join(problem.messages)
    return " ".join(
        f"{field}: {' '.join(messages)}" if field != "__all__" else " ".join(messages)
        for field, messages in problem.message_dict.items()
    )

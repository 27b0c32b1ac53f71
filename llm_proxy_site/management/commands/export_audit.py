"""`manage.py export_audit`."""

import os
import re
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db import Error
from django.db.models import Q

from audit.export import KINDS, lines
from audit.models import AuditEvent
from llm_proxy_site.checks import TAG
from llm_proxy_site.commands import no_answer
from projects.management.options import utc_day
from projects.management.projects import find_project


class Command(BaseCommand):
    help = "Print the audit trail's events, the latest first: JSON lines, or CSV."
    requires_system_checks = [TAG]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--format", choices=KINDS, default="jsonl", dest="kind")
        parser.add_argument("--since", type=utc_day, metavar="YYYY-MM-DD", help="from this UTC day on")
        parser.add_argument("--until", type=utc_day, metavar="YYYY-MM-DD", help="before this UTC day")
        parser.add_argument("--project", help="of this project only: name or id")
        parser.add_argument(
            "--actor",
            action="append",
            help="such as user:ada, or api:ada/*, where * is any rest; of several given, by any of them",
        )
        parser.add_argument("--action", help="such as token.revoked")

    def handle(self, *, kind: str, project: str | None, **options: Any) -> None:
        wanted = {
            "occurred_at__gte": options["since"],
            "occurred_at__lt": options["until"],
            "action": options["action"],
            "project_id": find_project(project).id if project is not None else None,
        }
        events = AuditEvent.objects.filter(
            _by_any(options["actor"] or []),
            **{name: value for name, value in wanted.items() if value is not None},
        )
        try:
            for line in lines(events, kind):
                self.stdout.write(line, ending="")
        except BrokenPipeError:  # `head` has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except Error as problem:
            raise no_answer(problem) from None


def _by_any(actors: list[str]) -> Q:
    """Without any, all events."""
    wanted = Q()
    for actor in actors:
        wanted |= Q(actor__regex=f"^{re.escape(actor[:-1])}") if actor.endswith("*") else Q(actor=actor)
    return wanted

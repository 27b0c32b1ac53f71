"""`manage.py show_capture`."""

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError
from django.utils import timezone

from audit.actors import of_command_line
from llm_proxy_site.commands import FactsCommand
from projects.encryption import UndecryptableError
from usage.captures.lifecycle import content_facts, read
from usage.captures.models import CapturedBodies
from usage.captures.page import for_people


class Command(FactsCommand):
    help = "Show what was kept of a request's bodies. That it was read is in the audit trail."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("request", type=UUID, help="its id: x-llm-proxy-request-id")

    def facts(self, *, request: UUID, **options: Any) -> dict[str, Any]:
        captured = CapturedBodies.objects.of(request, timezone.now())
        if captured is None:
            raise CommandError("Nothing is kept of such a request.")
        try:
            return content_facts(request, read(captured, actor=of_command_line()))
        except UndecryptableError as problem:
            raise CommandError(str(problem)) from None

    def text(self, facts: dict[str, Any]) -> str:
        return "\n".join(_part(title, facts[title.lower()]) for title in ("Request", "Answer"))


def _part(title: str, body: dict[str, Any]) -> str:
    cut = ", cut" if body["is_cut"] else ""
    what = f"{title}: {body['size_bytes']} bytes, {body['media_type'] or 'of no type'}{cut}"
    return f"{what}\n{body['note'] or for_people(body['text'])}"

"""`manage.py verify_audit`."""

from typing import Any

from django.core.management.base import CommandError

from audit.actors import of_command_line
from audit.verification import verify_and_note
from llm_proxy_site.commands import FactsCommand


class Command(FactsCommand):
    help = "Verify the audit trail's chain: whether an event was changed or removed since it was recorded."

    def facts(self, **options: Any) -> dict[str, Any]:
        found = verify_and_note(actor=of_command_line())
        if found.broken_at is not None:
            raise CommandError(str(found))
        return {"verified": True, "events": found.events}

    def text(self, facts: dict[str, Any]) -> str:
        return f"Chain verified: {facts['events']} events."

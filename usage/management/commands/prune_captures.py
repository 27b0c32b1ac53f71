"""`manage.py prune_captures`."""

from typing import Any

from django.utils import timezone

from llm_proxy_site.commands import FactsCommand
from usage.captures.pruning import prune


class Command(FactsCommand):
    help = "Delete captured bodies whose time is over. A server does so by itself, every 10 minutes."

    def facts(self, **options: Any) -> dict[str, Any]:
        return {"deleted": prune(timezone.now())}

    def text(self, facts: dict[str, Any]) -> str:
        return f"Requests whose bodies were deleted: {facts['deleted']}."

"""`manage.py cleanup_tokens`."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.utils import timezone

from audit.actors import of_command_line
from llm_proxy_site.commands import FactsCommand
from projects.management.options import period
from tokens.batches import deactivate_expired, deletable, delete_dead
from tokens.exchange.issuing import forget_expired
from tokens.models import AccessToken

DEFAULT_DEAD_FOR = timedelta(days=30)


class Command(FactsCommand):
    help = "Deactivate the access tokens whose life has ended, and delete those long dead. The ledger stays."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--older-than",
            type=period,
            default=DEFAULT_DEAD_FOR,
            metavar="30d",
            help="how long those have been dead that are deleted (default: 30d; at least 1h)",
        )
        parser.add_argument("--delete", action="store_true", help="delete them")
        parser.add_argument("--dry-run", action="store_true", help="only say how many it would be")

    def facts(self, *, older_than: timedelta, delete: bool, dry_run: bool, **options: Any) -> dict[str, Any]:
        now, actor = timezone.now(), of_command_line()
        dead = deletable(dead_for=older_than, now=now)
        expired = AccessToken.objects.filter(is_active=True).expired(now)
        facts = {"long_dead": dead.count(), "dry_run": dry_run}
        if dry_run:
            left = expired.exclude(pk__in=dead.values("pk")) if delete else expired
            return {**facts, "deleted": dead.count() if delete else 0, "deactivated": left.count()}
        forget_expired(now)
        # In this order: what is deleted need not be deactivated first.
        deleted = delete_dead(dead_for=older_than, actor=actor, now=now) if delete else 0
        return {**facts, "deleted": deleted, "deactivated": deactivate_expired(actor=actor, now=now)}

    def text(self, facts: dict[str, Any]) -> str:
        done = "that would be" if facts["dry_run"] else "that were"
        counts = f"Tokens {done} deactivated: {facts['deactivated']}; deleted: {facts['deleted']}."
        left = facts["long_dead"] - facts["deleted"]
        return f"{counts} Long dead ones: {left}; --delete deletes them." if left > 0 else counts

"""`manage.py prune_usage`."""

from argparse import ArgumentParser
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from audit.actors import of_command_line
from llm_proxy_site.commands import FactsCommand
from llm_proxy_site.terminal import progress
from projects.management.options import period
from usage.pruning import LEAST_AGE, Pruned, cutoff, prunable, prune


class Command(FactsCommand):
    help = "Delete old rows of the ledger. Rollups and the sums that limits are counted from stay."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--older-than", type=period, required=True, metavar="90d", help="at least 1d; whole UTC days"
        )
        parser.add_argument("--dry-run", action="store_true", help="only say how many it would be")

    def facts(self, *, older_than: timedelta, dry_run: bool, **options: Any) -> dict[str, Any]:
        if older_than < LEAST_AGE:
            raise CommandError("What is younger than a day cannot be pruned.")
        before = cutoff(older_than, timezone.now())
        pruned = _prunable(before) if dry_run else self._prune(before)
        return {
            "before": before.isoformat(),
            "records": pruned.records,
            "background_work": pruned.work,
            "dry_run": dry_run,
        }

    def _prune(self, before: datetime) -> Pruned:
        with progress(self.stderr, "Deleting", lambda: _prunable(before).rows) as advance:
            return prune(before, actor=of_command_line(), on_deleted=advance)

    def text(self, facts: dict[str, Any]) -> str:
        done = "would be" if facts["dry_run"] else "were"
        return (
            f"Requests that began before {facts['before']} and {done} deleted: {facts['records']}; "
            f"finished background work: {facts['background_work']}."
        )


def _prunable(before: datetime) -> Pruned:
    records, work = prunable(before)
    return Pruned(before, records.count(), work.count())

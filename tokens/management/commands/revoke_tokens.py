"""`manage.py revoke_tokens`."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from audit.actors import of_command_line
from llm_proxy_site.commands import FactsCommand
from projects.management.options import period
from projects.management.projects import find_project
from tokens.batches import revoke_many
from tokens.models import AccessToken, AccessTokenQuerySet


class Command(FactsCommand):
    help = "Revoke all access tokens to which every given filter applies."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--project", help="of this project: name or id")
        parser.add_argument("--name", metavar="GLOB", help="called so; * is any text, ? one character")
        parser.add_argument("--older-than", type=period, metavar="30d", help="issued so long ago")
        parser.add_argument(
            "--unused-for", type=period, metavar="7d", help="last used, or issued, so long ago"
        )
        parser.add_argument(
            "--all", action="store_true", dest="every", help="without any filter: all of them"
        )
        parser.add_argument("--dry-run", action="store_true", help="only say how many it would revoke")

    def facts(self, *, dry_run: bool, **options: Any) -> dict[str, Any]:
        tokens = _chosen(**options)
        if dry_run:
            return {"revoked": tokens.filter(revoked_at=None).count(), "dry_run": True}
        revoked = revoke_many(tokens, actor=of_command_line(), now=timezone.now())
        return {"revoked": revoked, "dry_run": False}

    def text(self, facts: dict[str, Any]) -> str:
        return f"Tokens that {'would be' if facts['dry_run'] else 'were'} revoked: {facts['revoked']}."


def _chosen(
    *,
    project: str | None,
    name: str | None,
    older_than: timedelta | None,
    unused_for: timedelta | None,
    every: bool,
    **options: Any,
) -> AccessTokenQuerySet:
    if not every and (project, name, older_than, unused_for) == (None, None, None, None):
        raise CommandError("Say which tokens: a filter at least, or --all.", returncode=2)
    now = timezone.now()
    tokens = AccessToken.objects.all()
    if project is not None:
        tokens = tokens.filter(project=find_project(project))
    if name is not None:
        tokens = tokens.named_like(name)
    if older_than is not None:
        tokens = tokens.older_than(now - older_than)
    if unused_for is not None:
        tokens = tokens.unused_since(now - unused_for)
    return tokens

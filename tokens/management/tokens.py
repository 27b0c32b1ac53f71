"""What the token commands share: finding a token, a token as facts, the options of an issue, refusals."""

from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from projects.lifetime import InvalidTTLError, ttl_text
from projects.management.options import add_limit_options, add_rules_option, limits_in, ttl
from projects.management.projects import limit_facts
from tokens.lifecycle import LifecycleError, ProjectInactiveError
from tokens.models import AccessToken


def add_token_argument(parser: ArgumentParser) -> None:
    parser.add_argument("token", metavar="ID|TOKEN", help="its id, or its plain text")


def find_token(id_or_plain: str) -> AccessToken:
    """Raises CommandError."""
    token = AccessToken.objects.select_related("project").of(id_or_plain).first()
    if token is None:
        raise CommandError("There is no such access token. `list_tokens` shows them all.")
    return token


def token_facts(token: AccessToken) -> dict[str, Any]:
    now = timezone.now()
    grace_ends_at = token.previous_digest_dies_at
    return {
        "id": str(token.id),
        "name": token.name,
        "display": token.display,
        "project_id": str(token.project_id),
        "project": token.project.name,
        "state": token.state(now),
        "ttl": ttl_text(token.ttl) if token.ttl else None,
        "expires_at": _text(token.expires_at),
        "idle_ttl": ttl_text(token.idle_ttl) if token.idle_ttl else None,
        "idle_expires_at": _text(token.idle_expires_at),
        "previous_token_dies_at": _text(grace_ends_at) if grace_ends_at and grace_ends_at > now else None,
        **limit_facts(token),
        "rules": token.rules or None,
        "request_count": token.request_count,
        "created_at": token.created_at.isoformat(),
        "renewed_at": _text(token.renewed_at),
        "last_used_at": _text(token.last_used_at),
    }


def expiry_text(facts: Mapping[str, Any]) -> str:
    return f"expires at {facts['expires_at']}" if facts["expires_at"] else "never expires"


def add_issue_options(parser: ArgumentParser) -> None:
    parser.add_argument("project", help="name or id")
    parser.add_argument(
        "--ttl", type=ttl, metavar="15m|24h|7d|never", help="how long it lives (default: as the project says)"
    )
    parser.add_argument(
        "--idle-ttl",
        type=ttl,
        metavar="7d|never",
        help="it dies when it is unused for so long (default: never)",
    )
    add_limit_options(parser)
    add_rules_option(parser)


def issue_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Of add_issue_options, what lifecycle.issue takes."""
    return {
        "ttl": options["ttl"],
        "idle_ttl": options["idle_ttl"],
        "rules": options.get("rules"),
        **limits_in(options),
    }


@contextmanager
def refusals_told() -> Iterator[None]:
    """What the life cycle refuses becomes the command's sentence."""
    try:
        yield
    except ProjectInactiveError as problem:
        raise CommandError(f"{problem} `activate_project` switches it on.") from None
    except (LifecycleError, InvalidTTLError) as problem:
        raise CommandError(str(problem)) from None


def _text(instant: datetime | None) -> str | None:
    return instant.isoformat() if instant else None

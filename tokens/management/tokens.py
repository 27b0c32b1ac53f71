"""What the token commands share: finding a token, the options of an issue, refusals."""

from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.core.management.base import CommandError

from projects.lifetime import InvalidTTLError
from projects.management.options import add_limit_options, add_rules_option, limits_in, ttl
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

"""What the commands of trust rules share: finding one, and its options."""

from argparse import SUPPRESS, ArgumentParser
from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandError

from projects.management.options import add_limit_options, add_rules_option, limits_in, ttl
from projects.management.projects import find_project
from tokens.exchange.claims import InvalidClaimsError, parse_claims
from tokens.exchange.models import TrustRule


def add_rule_argument(parser: ArgumentParser) -> None:
    parser.add_argument("rule", metavar="RULE", help="its name or id")


def add_rule_options(parser: ArgumentParser, *, is_new: bool) -> None:
    """Whom the rule trusts, and what is issued; all is needed of a new one that has no default."""

    def add(option: str, **how: Any) -> None:
        parser.add_argument(option, required=is_new, default=SUPPRESS, **how)

    add("--project", metavar="PROJECT", help="whose tokens are issued: name or id")
    add("--issuer", metavar="URL", help="as its JWTs have it in `iss`, such as https://gitlab.com")
    add("--audience", metavar="TEXT", help="what JWTs must have in `aud`: a name for this proxy")
    add(
        "--claim",
        dest="claims",
        action="append",
        metavar="NAME=GLOB",
        help="what JWTs must say, such as repository=acme/web; again for each, one of the same name is an "
        "alternative",
    )
    parser.add_argument(
        "--ttl", type=ttl, default=SUPPRESS, metavar="15m|1h", help="how long tokens live (default: 1h)"
    )
    add_limit_options(parser)
    add_rules_option(parser)


def rule_fields(options: Mapping[str, Any]) -> dict[str, Any]:
    """Of add_rule_options, what lifecycle takes. Raises CommandError."""
    fields = {name: options[name] for name in ("issuer", "audience", "ttl", "rules") if name in options}
    if "project" in options:
        fields["project"] = find_project(options["project"])
    if "claims" in options:
        try:
            fields["claims"] = parse_claims(options["claims"])
        except InvalidClaimsError as problem:
            raise CommandError(str(problem), returncode=2) from None
    return {**fields, **limits_in(options)}


def find_rule(name_or_id: str) -> TrustRule:
    """Raises CommandError."""
    rule = TrustRule.objects.select_related("project").named(name_or_id).first()
    if rule is None:
        raise CommandError(f"There is no trust rule {name_or_id!r}. `list_trust_rules` shows them all.")
    return rule

"""The options that commands share: each is written, read and bounded here, and named as its field.

One that is not given is absent from the options, so that `none` can clear what it stands for.
"""

from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from projects.capture import CapturePolicy
from projects.lifetime import NEVER, parse_period, parse_ttl
from projects.limits import BUDGETS, LIMITS
from projects.models import DeathPolicy, DisconnectPolicy, UnpricedPolicy
from projects.money import parse_usd
from projects.policy import POLICY, UPSTREAM
from projects.rules import read_rules

_UPSTREAM_TEXTS = {
    "base_url": "as an SDK would be given it, with /v1 (none: its provider's)",
    "provider": "as PROVIDERS_FILE names it (none: the first there)",
    "upstream_organization": "sent as OpenAI-Organization",
    "upstream_project": "sent as OpenAI-Project",
}

T = TypeVar("T")


def add_limit_options(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("limits and budgets (none: no limit; days, weeks and months of UTC)")
    for field in LIMITS:
        group.add_argument(_option(field), type=or_none(positive), default=SUPPRESS, metavar="N|none")
    for field in BUDGETS:
        option = _option(field.removesuffix("_microusd"))
        group.add_argument(option, dest=field, type=or_none(usd), default=SUPPRESS, metavar="USD|none")


def add_upstream_options(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("upstream")
    for field, what in _UPSTREAM_TEXTS.items():
        metavar = "URL|none" if field == "base_url" else "NAME|none"
        group.add_argument(_option(field), type=_text_or_none, default=SUPPRESS, metavar=metavar, help=what)
    group.add_argument(
        "--permit-leading-past-us",
        dest="permits_leading_past_us",
        type=yes_or_no,
        default=SUPPRESS,
        metavar="yes|no",
        help="whether clients may be given secrets with which they talk to upstream directly",
    )


def add_policy_options(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("policy")

    def add(option: str, field: str, **how: Any) -> None:
        group.add_argument(option, dest=field, default=SUPPRESS, **how)

    lifetime, decision = (
        {"type": or_none(_ending), "metavar": "7d|none"},
        {"type": yes_or_no, "metavar": "yes|no"},
    )
    add("--default-ttl", "default_ttl", help="of its tokens (none: TOKEN_DEFAULT_TTL)", **lifetime)
    add("--longest-ttl", "longest_ttl", help="that its tokens may have (none: 365d)", **lifetime)
    add("--permit-never", "permits_never", help="whether its tokens may never expire", **decision)
    add("--permit-renewal", "permits_renewal", help="whether holders may renew their tokens", **decision)
    add("--when-dead", "death_policy", choices=DeathPolicy.values, help="a token's running requests")
    add(
        "--when-disconnected",
        "disconnect_policy",
        choices=DisconnectPolicy.values,
        help="a request whose client hangs up",
    )
    add("--drain-seconds", "drain_seconds", type=positive, metavar="N", help="with --when-disconnected drain")
    add("--unpriced", "unpriced_policy", choices=UnpricedPolicy.values, help="models without a price")
    add(
        "--flat-price",
        "flat_price_microusd",
        type=or_none(usd),
        metavar="USD|none",
        help="with --unpriced flat",
    )

    add_rules_option(parser)
    _add_capture_options(parser)


def _add_capture_options(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("bodies that are kept: docs/capture.md")

    def add(field: str, **how: Any) -> None:
        group.add_argument(_option(field), dest=field, default=SUPPRESS, **how)

    add("capture_policy", choices=CapturePolicy.values, help="of which requests")
    add("capture_sample", type=share, metavar="0.1", help="of those the share, from 0 to 1")
    add("capture_max_bytes", type=positive, metavar="N", help="of each body at most")
    add("capture_retention", type=period, metavar="7d", help="then they are deleted")
    add(
        "capture_redacted", type=_names, metavar="NAMES|none", help="members, such as messages[].content,user"
    )
    add("capture_redacts_addresses", type=yes_or_no, metavar="yes|no", help="e-mail addresses in texts")


def add_rules_option(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--rules",
        type=_rules,
        default=SUPPRESS,
        metavar="JSON|FILE|none",
        help="endpoints, models, parameters, origins, networks: docs/policy.md",
    )


def upstream_in(options: Mapping[str, Any]) -> dict[str, Any]:
    return {field: options[field] for field in ("base_url", *UPSTREAM) if field in options}


def limits_in(options: Mapping[str, Any]) -> dict[str, Any]:
    return {field: options[field] for field in (*LIMITS, *BUDGETS) if field in options}


def policy_in(options: Mapping[str, Any]) -> dict[str, Any]:
    return {field: options[field] for field in POLICY if field in options}


def positive(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) < 2**63:
        raise ArgumentTypeError("must be a whole number above 0")
    return int(text)


def share(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise ArgumentTypeError("must be a number from 0 to 1")
    return number


def usd(text: str) -> int:
    return _told(parse_usd, text)


def ttl(text: str) -> timedelta:
    return _told(parse_ttl, text)


def period(text: str) -> timedelta:
    return _told(parse_period, text)


def utc_day(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise ArgumentTypeError("must be a day such as 2026-01-31") from None


def yes_or_no(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ArgumentTypeError("must be yes or no")
    return text == "yes"


def or_none(parse: Callable[[str], T]) -> Callable[[str], T | None]:
    return lambda text: None if text == "none" else parse(text)


def _text_or_none(text: str) -> str:
    return "" if text == "none" else text


def _names(text: str) -> list[str]:
    return [] if text == "none" else [name.strip() for name in text.split(",")]


def _rules(text: str) -> dict[str, Any]:
    if text == "none":
        return {}
    if text.lstrip().startswith("{"):
        return _told(read_rules, text)
    try:
        return _told(read_rules, Path(text).read_text(encoding="utf-8"))
    except OSError as problem:
        raise ArgumentTypeError(f"{text} cannot be read: {problem.strerror}") from None
    except UnicodeDecodeError:
        raise ArgumentTypeError(f"{text} is not UTF-8") from None


def _ending(text: str) -> timedelta:
    ending = ttl(text)
    if ending == NEVER:
        raise ArgumentTypeError("must end; --permit-never says whether tokens may never expire")
    return ending


def _told(parse: Callable[[str], T], text: str) -> T:
    """`parse`, with what is wrong as argparse tells it."""
    try:
        return parse(text)
    except ValueError as problem:
        raise ArgumentTypeError(str(problem)) from None


def _option(field: str) -> str:
    return f"--{field.replace('_', '-')}"

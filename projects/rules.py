"""The rules of a project or an access token: which endpoints, models, parameters, origins and networks.

One JSON document, read strictly: what is not understood is refused, so that no typing error loses a rule.
"""

import json
import math
import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, Literal

import msgspec
from django.core.exceptions import ValidationError
from msgspec import Meta

MAX_BYTES = 64 * 1024
"""Of the document, as JSON."""
MAX_ENTRIES = 1000

Network = IPv4Network | IPv6Network
Scalar = bool | int | float | str
Text = Annotated[str, Meta(min_length=1, max_length=200)]
EndpointName = Annotated[
    str,
    Meta(
        pattern=r"\A([a-z][a-z0-9_-]*|(GET|POST|PUT|PATCH|DELETE|WEBSOCKET) "
        r"(/([A-Za-z0-9_.~-]+|\{[a-z_]+\*?\}))+)\Z"
    ),
]
Glob = Annotated[str, Meta(pattern=r"\A[^\s\[\]]{1,200}\Z")]
ParameterName = Annotated[
    str, Meta(pattern=r"\A[A-Za-z0-9_-]+(\[\])?(\.[A-Za-z0-9_-]+(\[\])?){0,7}\Z", max_length=200)
]
Origin = Annotated[str, Meta(max_length=255)]
ListName = Literal["endpoints", "models", "origins", "networks", "max_body_bytes"]

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:[1-9][0-9]{0,4})?", re.ASCII)
_DEFAULT_PORTS = (("http://", ":80"), ("https://", ":443"))


class InvalidRulesError(ValueError):
    """The document makes no rules; the message names the place, and is fit for a user."""


class ParameterRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a request's body may say by one name, such as `max_tokens` or `tools[].type`."""

    name: ParameterName
    required: bool = False
    forbidden: bool = False
    maximum: int | float | None = None
    allowed: Annotated[tuple[Scalar, ...], Meta(max_length=MAX_ENTRIES)] | None = None
    forbidden_values: Annotated[tuple[Scalar, ...], Meta(max_length=MAX_ENTRIES)] = ()
    endpoints: Annotated[tuple[EndpointName, ...], Meta(max_length=MAX_ENTRIES)] | None = None
    """Where it holds; None: everywhere."""
    shadow: bool = False

    def __post_init__(self) -> None:
        says = (self.required, self.maximum is not None, self.allowed is not None, self.forbidden_values)
        if not (self.forbidden or any(says)):
            raise ValueError(
                "says nothing: give `required`, `forbidden`, `maximum`, `allowed` or `forbidden_values`"
            )
        if self.maximum is not None and not math.isfinite(self.maximum):
            raise ValueError("has a maximum that is no number")
        if self.forbidden and any(says):
            raise ValueError("is forbidden, so nothing else can be asked of it")


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """None: no rule. An empty list allows nothing."""

    endpoints: Annotated[tuple[EndpointName, ...], Meta(max_length=MAX_ENTRIES)] | None = None
    models: Annotated[tuple[Glob, ...], Meta(max_length=MAX_ENTRIES)] | None = None
    parameters: Annotated[tuple[ParameterRule, ...], Meta(max_length=MAX_ENTRIES)] = ()
    origins: Annotated[tuple[Origin, ...], Meta(max_length=MAX_ENTRIES)] | None = None
    networks: Annotated[tuple[Text, ...], Meta(max_length=MAX_ENTRIES)] | None = None
    max_body_bytes: Annotated[int, Meta(ge=1, le=2**53)] | None = None
    shadow: tuple[ListName, ...] = ()
    """The rules that refuse nothing: what they would have refused is noted."""


NO_RULES = Rules()


def parse_rules(value: object) -> Rules:
    """The rules in a document as JSON has it. Raises InvalidRulesError."""
    try:
        document = msgspec.json.encode(value)
        if len(document) > MAX_BYTES:
            raise InvalidRulesError(f"The rules are larger than {MAX_BYTES // 1024} KiB.")
        if b"\\u0000" in document:
            raise InvalidRulesError("The rules hold a NUL character, which PostgreSQL cannot store.")
        rules = msgspec.convert(value, Rules)
    except msgspec.ValidationError as problem:
        raise InvalidRulesError(_sentence(str(problem))) from None
    except (TypeError, ValueError, RecursionError) as problem:
        raise (
            problem
            if isinstance(problem, InvalidRulesError)
            else InvalidRulesError("The rules are not JSON.")
        ) from None
    for position, network in enumerate(rules.networks or ()):
        read_network(network, f"networks[{position}]")
    for position, origin in enumerate(rules.origins or ()):
        _check_origin(origin, f"origins[{position}]")
    for name in rules.shadow:
        if getattr(rules, name) is None:
            raise InvalidRulesError(f"shadow: there is no rule {name} that could be in shadow mode.")
    return rules


def read_rules(text: str) -> dict[str, Any]:
    """The document in a text, as people write it. Raises InvalidRulesError."""
    try:
        document = json.loads(text, object_pairs_hook=_no_duplicates)
    except (json.JSONDecodeError, RecursionError) as problem:
        why = f": {problem}" if isinstance(problem, json.JSONDecodeError) else ""
        raise InvalidRulesError(f"The rules are not JSON{why}.") from None
    parse_rules(document)
    return dict(document)


def validate_rules(value: object) -> None:
    """For Django. Raises ValidationError."""
    try:
        parse_rules(value)
    except InvalidRulesError as problem:
        raise ValidationError(str(problem)) from None


def read_network(text: str, place: str = "networks") -> Network:
    """Raises InvalidRulesError."""
    try:
        network = ip_network(text)
    except ValueError:
        raise InvalidRulesError(
            f"{place}: {text!r} is not a network such as 10.0.0.0/8 or 2001:db8::/32, "
            "with no bits set beyond its length."
        ) from None
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None:
        raise InvalidRulesError(f"{place}: write the IPv4 network in place of {text!r}.")
    return network


def texts_of(rules: dict[str, Any], name: str) -> list[str]:
    """The texts in a list of a stored document, whatever else is wrong with it."""
    found = rules.get(name) if isinstance(rules, dict) else None
    return [text for text in found if isinstance(text, str)] if isinstance(found, list) else []


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidRulesError(f"{twice}: it is there twice.")
    return found


def _check_origin(text: str, place: str) -> None:
    is_usual = any(text.startswith(scheme) and text.endswith(port) for scheme, port in _DEFAULT_PORTS)
    if not _ORIGIN.fullmatch(text) or is_usual:
        raise InvalidRulesError(
            f"{place}: {text!r} is not an origin as browsers send it: scheme, host in lower case, and "
            "port if it is not the usual one, such as https://app.example.com; no wildcard."
        )


def _sentence(problem: str) -> str:
    """`Expected ... - at `$.parameters[0].name`` with the place in front."""
    what, _, place = problem.partition(" - at ")
    where = place.strip("`").removeprefix("$").removeprefix(".")
    if "matching regex" in what:
        what = "This is not written as it must be"
    return f"{where}: {what}." if where else f"{what}."

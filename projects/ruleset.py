"""Ruleset: the rules of a token and of its project, made ready once for the requests that they judge.

Both must allow a request, so that a token's rules can only narrow those of its project. Pure data: the data
plane applies it.
"""

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass

from projects.rules import Network, ParameterRule, Rules, read_network

LONGEST_MODEL = 200
"""What is longer is no model's name."""

Names = dict[str, "Names | None"]
"""A tree of the names in a body that have to be seen; a leaf is empty. None: not its value is asked for, only
that it has one at the most.
"""


@dataclass(frozen=True, slots=True)
class EndpointList:
    names: frozenset[str]
    is_shadow: bool = False

    def allows(self, family: str, method: str, path: str) -> bool:
        """`path`: as the configuration writes it. HEAD goes where GET goes."""
        return family in self.names or f"{'GET' if method == 'HEAD' else method} {path}" in self.names


@dataclass(frozen=True, slots=True)
class ModelList:
    globs: tuple[str, ...]
    names: frozenset[str]
    patterns: tuple[re.Pattern[str], ...]
    is_shadow: bool = False

    def allows(self, model: str) -> bool:
        if model in self.names:
            return True
        return len(model) <= LONGEST_MODEL and any(pattern.match(model) for pattern in self.patterns)


@dataclass(frozen=True, slots=True)
class OriginList:
    origins: frozenset[bytes]
    is_shadow: bool = False


@dataclass(frozen=True, slots=True)
class NetworkList:
    networks: tuple[Network, ...]
    is_shadow: bool = False


@dataclass(frozen=True, slots=True)
class BodyBound:
    max_bytes: int
    is_shadow: bool = False


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    path: tuple[str, ...]
    rule: ParameterRule
    endpoints: EndpointList | None
    is_shadow: bool


@dataclass(frozen=True, slots=True)
class Ruleset:
    """Of each kind one for the project and one for the token, as far as they have it."""

    endpoints: tuple[EndpointList, ...] = ()
    models: tuple[ModelList, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    origins: tuple[OriginList, ...] = ()
    networks: tuple[NetworkList, ...] = ()
    bodies: tuple[BodyBound, ...] = ()
    names: Names | None = None
    """All that a body may have to be seen for; None: nothing."""


REFUSE_ALL = Ruleset(endpoints=(EndpointList(frozenset()),))
"""For rules that are stored and cannot be read."""
MODEL_NAMES = (
    "model",
    "models[]",
    "tools[].model",
    "tools[].svg.model",
    "svg.model",
    "moderation.model",
)
"""Where a body names models: the one to use, those to fall back to, and those of upstream's tools, of what
draws vectors and of moderation.
"""


def make_ready(*owners: Rules) -> Ruleset | None:
    """The rules of all owners together; None where there are none."""
    ruleset = Ruleset(
        endpoints=tuple(
            EndpointList(frozenset(rules.endpoints), "endpoints" in rules.shadow)
            for rules in owners
            if rules.endpoints is not None
        ),
        models=tuple(
            _model_list(rules.models, is_shadow="models" in rules.shadow)
            for rules in owners
            if rules.models is not None
        ),
        parameters=tuple(_parameter(rule) for rules in owners for rule in rules.parameters),
        origins=tuple(
            OriginList(frozenset(origin.encode() for origin in rules.origins), "origins" in rules.shadow)
            for rules in owners
            if rules.origins is not None
        ),
        networks=tuple(
            NetworkList(tuple(map(read_network, rules.networks)), "networks" in rules.shadow)
            for rules in owners
            if rules.networks is not None
        ),
        bodies=tuple(
            BodyBound(rules.max_body_bytes, "max_body_bytes" in rules.shadow)
            for rules in owners
            if rules.max_body_bytes is not None
        ),
        names=_names(owners),
    )
    return None if ruleset == Ruleset() else ruleset


def path_of(name: str) -> tuple[str, ...]:
    """`tools[].type` as the members to go through. Lists are looked into wherever they are."""
    return tuple(name.replace("[]", "").split("."))


def name_tree(names: Iterable[str]) -> Names:
    tree: Names = {}
    for name in names:
        branch = tree
        for member in path_of(name):
            below = branch.get(member) or {}
            branch[member] = below
            branch = below
    return tree


def in_common(first: tuple[str, ...], second: tuple[str, ...]) -> list[str]:
    """What two lists of globs both allow, for people to read: the narrower one of two where one includes the
    other; `A & B` where neither does and both may fit.
    """
    found = dict.fromkeys(
        common for one in first for other in second if (common := _common(one, other)) is not None
    )
    return list(found)


def _common(one: str, other: str) -> str | None:
    if _includes(one, other):
        return other
    if _includes(other, one):
        return one
    return f"{one} & {other}" if _has_wildcard(one) and _has_wildcard(other) else None


def _includes(wide: str, narrow: str) -> bool:
    """Only `*` in the wide one can stand for a `*` in the narrow one."""
    parts = {"*": ".*", "?": r"[^*]"}
    return re.fullmatch("".join(parts.get(each) or re.escape(each) for each in wide), narrow) is not None


def _has_wildcard(glob: str) -> bool:
    return "*" in glob or "?" in glob


def _names(owners: tuple[Rules, ...]) -> Names | None:
    names = [rule.name for rules in owners for rule in rules.parameters]
    if any(rules.models is not None for rules in owners):
        names += MODEL_NAMES
    return name_tree(names) or None


def _model_list(globs: tuple[str, ...], *, is_shadow: bool) -> ModelList:
    return ModelList(
        globs=globs,
        names=frozenset(glob for glob in globs if not _has_wildcard(glob)),
        # fnmatch's patterns take linear time whatever a client names: they do not go back into a `*`.
        patterns=tuple(re.compile(fnmatch.translate(glob)) for glob in globs if _has_wildcard(glob)),
        is_shadow=is_shadow,
    )


def _parameter(rule: ParameterRule) -> Parameter:
    return Parameter(
        name=rule.name,
        path=path_of(rule.name),
        rule=rule,
        endpoints=None if rule.endpoints is None else EndpointList(frozenset(rule.endpoints)),
        is_shadow=rule.shadow,
    )

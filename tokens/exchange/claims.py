"""The claims that a trust rule wants to see: `name=glob` each, several of one name are alternatives. Pure.

Stored as JSON: a name and its globs. A `*` is any text, whatever is in it, and `?` one character.
"""

import fnmatch
import re
from collections.abc import Iterable, Mapping
from typing import Any

from django.core.exceptions import ValidationError

MAX_CLAIMS = 20
MAX_GLOBS = 100
MAX_TEXT = 255

Wanted = dict[str, list[str]]


class InvalidClaimsError(ValueError):
    """The message is fit for a user."""


def parse_claims(lines: Iterable[str]) -> Wanted:
    """Lines such as `repository=acme/web`, empty ones apart. Raises InvalidClaimsError."""
    wanted: Wanted = {}
    for line in filter(None, map(str.strip, lines)):
        name, equals, glob = (part.strip() for part in line.partition("="))
        if not (name and equals and glob):
            raise InvalidClaimsError(
                f"{line!r} is not a claim and what it must be, such as repository=acme/web."
            )
        wanted.setdefault(name, []).append(glob)
    check_claims(wanted)
    return wanted


def claim_lines(wanted: Mapping[str, Iterable[str]]) -> list[str]:
    """parse_claims's inverse."""
    return [f"{name}={glob}" for name, globs in wanted.items() for glob in globs]


def check_claims(value: object) -> None:
    """Raises InvalidClaimsError for what is no Wanted, and for one that everybody fulfils.

    Anybody can have a JWT of a public issuer: what does not say whose, trusts the whole world.
    """
    if not isinstance(value, dict) or len(value) > MAX_CLAIMS:
        raise InvalidClaimsError(f"The claims are up to {MAX_CLAIMS} names with what they must be.")
    for name, globs in value.items():
        if not isinstance(globs, list) or not 1 <= len(globs) <= MAX_GLOBS:
            raise InvalidClaimsError(f"{name}: from 1 to {MAX_GLOBS} texts.")
        if not all(map(_is_text, [name, *globs])):
            raise InvalidClaimsError(f"{name}: texts of up to {MAX_TEXT} printable characters.")
    if all(any(not glob.strip("*?") for glob in globs) for globs in value.values()):
        raise InvalidClaimsError(
            "At least one claim must say whose token it is: nothing but `*` is anybody's."
        )


def validate_claims(value: object) -> None:
    """For Django. Raises ValidationError."""
    try:
        check_claims(value)
    except InvalidClaimsError as problem:
        raise ValidationError(str(problem)) from None


def fulfils(claims: Mapping[str, Any], wanted: Mapping[str, Iterable[str]]) -> bool:
    """Whether each wanted claim is there and fits one of its globs; of a list, one member has to."""
    return all(
        any(_fits(text, glob) for text in _texts(claims.get(name)) for glob in globs)
        for name, globs in wanted.items()
    )


def _fits(text: str, glob: str) -> bool:
    # Brackets mean themselves. fnmatch's patterns take linear time: they do not go back into a `*`.
    return re.match(fnmatch.translate(glob.replace("[", "[[]")), text) is not None


def _texts(value: object) -> list[str]:
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if isinstance(value, str | int):
        return [str(value)]
    return [member for member in value if isinstance(member, str)] if isinstance(value, list) else []


def _is_text(text: object) -> bool:
    return isinstance(text, str) and 1 <= len(text) <= MAX_TEXT and text.isprintable()

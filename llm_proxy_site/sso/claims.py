"""What claims say of a person: pure. They are verified before they come here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from llm_proxy_site.sso.errors import RefusedError
from llm_proxy_site.sso.models import Identity
from projects.access import ADMIN, OPERATOR, VIEWER

ANYBODY = "*"
MOST_FIRST = (ADMIN, OPERATOR, VIEWER)
MAX_EMAIL = 254


@dataclass(frozen=True, slots=True)
class Person:
    issuer: str
    subject: str
    email: str
    """Verified by the issuer, or empty."""
    name: str
    """What to call them here if they are new. Says nothing about who they are."""
    role: str | None


def person_of(
    issuer: str, claims: Mapping[str, Any], *, role_claim: str, roles: Mapping[str, Sequence[str]]
) -> Person:
    """`roles`: by role, the values that give it. Raises RefusedError."""
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 1 <= len(subject) <= Identity.LONGEST or not subject.isprintable():
        raise RefusedError(
            "The provider does not say who you are.", "its subject is no text that can be shown"
        )
    email = verified_email(claims)
    known_as = claims.get("preferred_username")
    return Person(
        issuer=issuer,
        subject=subject,
        email=email,
        name=email or (known_as if isinstance(known_as, str) else "") or subject,
        role=_role(email if role_claim == "email" else read(claims, role_claim), roles),
    )


def verified_email(claims: Mapping[str, Any]) -> str:
    """Empty unless the provider says in so many words that it is this person's. At many providers people can
    write any address into their profile.
    """
    email = claims.get("email")
    if claims.get("email_verified") is not True or not isinstance(email, str):
        return ""
    if not email.isascii() or len(email) > MAX_EMAIL:  # else databases may take ı for i
        return ""
    try:
        validate_email(email)
    except ValidationError:
        return ""
    return email


def read(claims: Mapping[str, Any], name: str) -> object:
    """A claim, or a member of one: `realm_access.roles`. Names may have dots themselves; None: not there."""
    if name in claims:
        return claims[name]
    found: object = claims
    for part in name.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(part)
    return found


def _role(value: object, roles: Mapping[str, Sequence[str]]) -> str | None:
    """The one that may do most."""
    members = value if isinstance(value, list) else [value]
    held = {member for member in members if isinstance(member, str) and member}
    for role in MOST_FIRST:
        if ANYBODY in roles[role] or not held.isdisjoint(roles[role]):
            return role
    return None

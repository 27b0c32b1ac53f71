"""Which of our people the one is whom the provider vouches for, and what they may do from now on.

Somebody is known by issuer and subject. By e-mail address they are found at most once, to link an account
that was here before: if the address is verified, belongs to one account only, which is no superuser's and is
linked to nobody at this issuer. Each change is in the audit trail.
"""

import re
from itertools import count

from django.contrib.auth.models import Group, User
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.db.models.functions import Lower

from audit import trail
from audit.actors import of_subject
from llm_proxy_site.sso.claims import MOST_FIRST, Person
from llm_proxy_site.sso.errors import RefusedError
from llm_proxy_site.sso.models import Identity

LONGEST_NAME = 100


def account_of(person: Person, *, domains: list[str], creates: bool) -> User:
    """With the role of today. `domains`: of e-mail addresses, or empty. Raises RefusedError."""
    if domains and person.email.rpartition("@")[2].casefold() not in map(str.casefold, domains):
        raise _refused(person, "Your e-mail address is of no domain that may sign in here.", "domain")
    try:
        user = _find_or_make(person, creates=creates)
    except IntegrityError:  # another request of theirs has just done it
        user = _find_or_make(person, creates=creates)
    if person.role is None:
        raise _refused(person, "Your account at the provider gives you no role here.", "no role")
    return user


@transaction.atomic
def _find_or_make(person: Person, *, creates: bool) -> User:
    """Where they have no role: who they are, without the role that they had; a stranger stays one."""
    identity = (
        Identity.objects.select_related("user").filter(issuer=person.issuer, subject=person.subject).first()
    )
    if identity is not None:
        _require_welcome(identity.user, person)
        _give_role(identity.user, person)
        return identity.user
    if person.role is None:
        raise _refused(person, "Your account at the provider gives you no role here.", "no role")
    user = _match(person) or _create(person, creates=creates)
    _give_role(user, person)
    return user


def _match(person: Person) -> User | None:
    """By e-mail address. Where one is here already that must not be theirs, they get no second account."""
    found = list(_whose("email", person.email)[:2]) if person.email else []
    if not found:
        return None
    user = found[0]
    _require_welcome(user, person)
    others = user.identities.filter(issuer=person.issuer).exclude(subject=person.subject)
    if len(found) > 1 or user.is_superuser or others.exists():
        raise _refused(
            person,
            "An account here has your e-mail address, but cannot be linked to you. Ask an administrator.",
            "e-mail address of another account",
        )
    _link(user, person)
    return user


def _create(person: Person, *, creates: bool) -> User:
    if not creates:
        raise _refused(person, "You have no account here. Ask an administrator for one.", "unknown")
    user = User(username=_free_name(person.name), email=person.email, is_staff=True)
    user.set_unusable_password()
    user.save()
    trail.record("user.added", user, actor=_actor(person), details={"by": "single sign-on"})
    _link(user, person)
    return user


def _link(user: User, person: Person) -> None:
    Identity.objects.create(user=user, issuer=person.issuer, subject=person.subject)
    details = {"issuer": person.issuer, "subject": person.subject}
    trail.record("user.identity_linked", user, actor=_actor(person), details=details)


def unlink(user: User, *, actor: str) -> int:
    """Forget whom a provider knows as this person; how many there were."""
    with transaction.atomic():
        identities = list(user.identities.all())
        for identity in identities:
            details = {"issuer": identity.issuer, "subject": identity.subject}
            trail.record("user.identity_unlinked", user, actor=actor, details=details)
            identity.delete()
    return len(identities)


def _require_welcome(user: User, person: Person) -> None:
    if not user.is_active or not user.is_staff:
        raise _refused(person, "Your account here is not active. Ask an administrator.", "not active")


def _give_role(user: User, person: Person) -> None:
    """In place of the roles that they have; groups that are no roles stay."""
    before = {group.name for group in user.groups.all()}
    after = before.difference(MOST_FIRST) | ({person.role} if person.role else set())
    if before == after:
        return
    user.groups.remove(*Group.objects.filter(name__in=before - after))
    user.groups.add(*Group.objects.filter(name__in=after - before))
    details = {"groups": {"before": sorted(before), "after": sorted(after)}}
    trail.record("user.changed", user, actor=_actor(person), details=details)


def _free_name(wanted: str) -> str:
    """Never one that is taken: a name at the provider is no proof of being somebody here."""
    name = re.sub(r"[^\w.@+-]", "-", wanted, flags=re.ASCII).strip("-")[:LONGEST_NAME] or "person"
    names = (name if number == 1 else f"{name}-{number}" for number in count(1))
    return next(name for name in names if not _whose("username", name).exists())


def _whose(field: str, value: str) -> QuerySet[User]:
    """In whatever case it is written. On MySQL our columns know none, and `iexact` would be exact."""
    return User.objects.alias(folded=Lower(field)).filter(folded=value.lower())


def _refused(person: Person, message: str, reason: str) -> RefusedError:
    return RefusedError(message, reason, actor=_actor(person))


def _actor(person: Person) -> str:
    return of_subject(person.issuer, person.subject)

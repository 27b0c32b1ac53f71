"""What can be done to a key of the management API. Every act is one transaction with its audit event.

`sk-mg-`, and then as access tokens are (tokens/format.py): it says what it is, and a guess costs no query.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction

from audit import trail
from llm_proxy_site.api.scopes import ApiScope
from llm_proxy_site.models import ApiKey
from projects.lifetime import MAX_TTL, MIN_TTL, InvalidTTLError
from tokens.format import digest, generate, is_well_formed

PREFIX = "sk-mg-"
DEFAULT_TTL = timedelta(days=90)
USE_NOTED_EVERY = timedelta(minutes=1)


def display(key: ApiKey) -> str:
    """What may be shown of it."""
    return f"{PREFIX}…{key.last_four}"


@transaction.atomic
def create_api_key(
    user: User, *, name: str, scopes: Iterable[ApiScope], ttl: timedelta, actor: str, now: datetime
) -> tuple[ApiKey, str]:
    """A new key and its plain text, the only moment that exists. Its life ends: InvalidTTLError for one
    outside MIN_TTL..MAX_TTL; ValidationError for a bad name, or no scope.
    """
    if not MIN_TTL <= ttl <= MAX_TTL:
        raise InvalidTTLError("A key of the management API lives at least 1 minute and at most 365 days.")
    granted = sorted(set(scopes))
    if not granted:
        raise ValidationError({"scopes": "A key needs a scope at least."})
    key_id, plain = generate(prefix=PREFIX)
    key = ApiKey(
        id=key_id,
        digest=digest(plain),
        last_four=plain[-4:],
        user=user,
        name=name.strip(),
        scopes=granted,
        expires_at=now + ttl,
    )
    key.full_clean()
    key.save(force_insert=True)
    details = {"user": user.get_username(), "scopes": granted, "expires_at": key.expires_at.isoformat()}
    trail.record("api_key.created", key, actor=actor, details=details)
    return key, plain


@transaction.atomic
def revoke_api_key(key: ApiKey, *, actor: str, now: datetime) -> bool:
    """End a key at once, for good; True if it was not revoked yet."""
    changed = ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now)
    key.refresh_from_db(fields=["revoked_at"])
    if changed:
        trail.record("api_key.revoked", key, actor=actor, details={"user": key.user.get_username()})
    return bool(changed)


def find_api_key(plain: str, now: datetime) -> ApiKey | None:
    """The key that works now, of a person who may sign in. Its use is noted."""
    if not is_well_formed(plain, prefix=PREFIX):
        return None
    alive = ApiKey.objects.filter(revoked_at=None, expires_at__gt=now, user__is_active=True)
    key = alive.select_related("user").filter(digest=digest(plain)).first()
    if key is not None and (key.last_used_at is None or now - key.last_used_at >= USE_NOTED_EVERY):
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)
    return key


def find_dead_api_key(plain: str) -> ApiKey | None:
    """The key that has worked, or has had a person who may sign in."""
    if not is_well_formed(plain, prefix=PREFIX):
        return None
    return ApiKey.objects.select_related("user").filter(digest=digest(plain)).first()

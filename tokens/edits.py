"""Changing what may be changed of an access token: its name, limits, rules and lifetimes."""

from datetime import datetime

from django.db import transaction

from audit import trail
from projects.edits import differences
from projects.limits import BUDGETS, LIMITS
from projects.policy import check_limits
from tokens.lifecycle import TokenNotAliveError
from tokens.models import AccessToken


@transaction.atomic
def edit(token: AccessToken, *, actor: str, now: datetime, **edits: object) -> bool:
    """Change fields, by name; True if that was one. Only those are written: the row is counting requests.

    Raises ValidationError, and TokenNotAliveError for a revoked token. The caller has checked a new
    `expires_at` against the project; the token is alive again, if it was not, as `lifecycle.extend` makes it.
    """
    token.refresh_from_db(from_queryset=AccessToken.objects.select_for_update())
    if token.revoked_at is not None:
        raise TokenNotAliveError("A token that is revoked cannot be changed. Reactivate it first.")
    before = {field: getattr(token, field) for field in edits}
    for field, value in edits.items():
        setattr(token, field, value)
    changes = differences(before, token, edits)
    if not changes:
        return False
    check_limits({field: getattr(token, field) for field in (*LIMITS, *BUDGETS)})
    written = [*changes, "updated_at"]
    if "expires_at" in changes:
        token.is_active, token.renewed_at = True, now
        written += ["is_active", "renewed_at"]
    token.full_clean()
    token.save(update_fields=written)
    trail.record("token.changed", token, actor=actor, project_id=token.project_id, details=changes)
    return True

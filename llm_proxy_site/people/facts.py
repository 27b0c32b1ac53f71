"""A person as plain data: what commands and the management API tell. Nothing of how they sign in."""

from typing import Any

from django.contrib.auth.models import User

from projects.access import role_of


def person_facts(user: User) -> dict[str, Any]:
    return {
        "username": user.get_username(),
        "email": user.email or None,
        "role": role_of(user),
        "is_superuser": user.is_superuser,
        "is_active": user.is_active,
        "created_at": user.date_joined.isoformat(),
        "last_signed_in_at": user.last_login.isoformat() if user.last_login else None,
    }

"""What the commands about people share: finding one."""

from django.contrib.auth.models import User
from django.core.management.base import CommandError


def find_user(name: str) -> User:
    """Raises CommandError."""
    user = User.objects.filter(username=name).first()
    if user is None:
        raise CommandError(f"There is no user {name!r}.")
    return user

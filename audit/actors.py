"""Who acts, as audit events name it: `user:NAME` for the admin, `cli:NAME` for the command line, `token:ID`
for the holder of an access token.
"""

import getpass
import os
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser


def of_user(user: AbstractBaseUser | AnonymousUser) -> str:
    return f"user:{user.get_username()}"


def of_command_line() -> str:
    """The operating system's user; the number when it has no name, as in many containers."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return f"cli:{os.getuid()}"


def of_token(token_id: UUID) -> str:
    return f"token:{token_id}"

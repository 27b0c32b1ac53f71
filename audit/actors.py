"""Who acts, as audit events name it: `user:NAME` for the admin, `cli:NAME` for the command line, `token:ID`
for the holder of an access token, `oidc:ISSUER#SUBJECT` for one whom an issuer of OpenID Connect vouches for,
`api:NAME/ID` for a person's key of the management API, `management-token` for who has MANAGEMENT_TOKEN,
`stranger` for who was refused.
"""

import getpass
import os
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

MANAGEMENT_TOKEN = "management-token"  # noqa: S105 (a name)
STRANGER = "stranger"
"""Who was refused, and has not proved who they are."""
LONGEST_NAME = 100
"""Of a person, beside the id of a key: what is longer is cut."""


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


def of_subject(issuer: str, subject: str) -> str:
    """A job or a pod that exchanges its JWT, or a person whom their provider sends to sign in."""
    return f"oidc:{issuer}#{subject}"


def of_api_key(key_id: UUID, username: str) -> str:
    return f"api:{username[:LONGEST_NAME]}/{key_id}"

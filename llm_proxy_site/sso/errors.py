"""Why somebody whom the provider was to vouch for is not signed in.

SsoError
├── StrayError           the answer belongs to no attempt of this browser
├── RefusedError         the provider says no, or what it says does not let them in
└── UnavailableError     the provider does not answer, or not in a way that can be understood

The message of each is for the page, and repeats nothing of what was received. `reason` is for the audit
trail, or, of UnavailableError, for the log only: it may name addresses.
"""


class SsoError(Exception):
    title = "You are not signed in"
    status = 403

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason


class StrayError(SsoError):
    status = 400


class RefusedError(SsoError):
    """`actor`: of the trail, once it is known who they are."""

    def __init__(self, message: str, reason: str, *, actor: str = "stranger") -> None:
        super().__init__(message, reason)
        self.actor = actor


class UnavailableError(SsoError):
    title = "The sign-in provider does not answer"
    status = 503

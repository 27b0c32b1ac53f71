"""Why an assertion, a JWT that says who its bearer is, is not exchanged for an access token.

ExchangeError
├── RefusedError              it proves nothing here, whatever happens
│   ├── ReplayedError         it has been exchanged before
│   └── AmbiguousError        rules of several projects accept it
└── IssuerUnavailableError    its issuer's keys cannot be read at the moment

The message of a refusal is fit for who has sent it: none repeats any of it. `reason` is for the log.
"""


class ExchangeError(Exception):
    pass


class RefusedError(ExchangeError):
    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or message


class ReplayedError(RefusedError):
    pass


class AmbiguousError(RefusedError):
    pass


class IssuerUnavailableError(ExchangeError):
    """The message is for the log only: it may name addresses."""

"""What a key of the management API may be good for. Its user's role and memberships bound it besides."""

from enum import StrEnum


class ApiScope(StrEnum):
    PROJECTS_READ = "projects:read"
    PROJECTS_WRITE = "projects:write"
    KEYS_READ = "keys:read"
    """Of upstream: by their last four characters, and how they are."""
    KEYS_WRITE = "keys:write"
    TOKENS_READ = "tokens:read"
    TOKENS_WRITE = "tokens:write"
    TRUST_RULES_READ = "trust-rules:read"
    TRUST_RULES_WRITE = "trust-rules:write"
    PEOPLE_READ = "people:read"
    """And of which projects they are members."""
    PEOPLE_WRITE = "people:write"
    USAGE_READ = "usage:read"
    CAPTURES_READ = "captures:read"
    """What is kept of bodies. Not among what `read` stands for: it must be named."""
    CAPTURES_WRITE = "captures:write"
    PRICES_READ = "prices:read"
    PRICES_WRITE = "prices:write"
    AUDIT_READ = "audit:read"
    HEALTH_READ = "health:read"


ALL_SCOPES = frozenset(ApiScope)


class UnknownScopeError(ValueError):
    """The message is fit for a user."""


def read_scopes(text: str) -> frozenset[ApiScope]:
    """Of `projects:read,tokens:write`; `all` and `read` stand for all, and all that read but captures. Raises
    UnknownScopeError.
    """
    found: set[ApiScope] = set()
    for name in filter(None, map(str.strip, text.split(","))):
        if name == "all":
            found |= ALL_SCOPES
        elif name == "read":
            found |= {scope for scope in ApiScope if scope.endswith(":read")} - {ApiScope.CAPTURES_READ}
        elif name in ALL_SCOPES:
            found.add(ApiScope(name))
        else:
            raise UnknownScopeError(
                f"There is no scope {name!r}. There are: {', '.join(ApiScope)}, read, all."
            )
    if not found:
        raise UnknownScopeError("A key needs a scope at least.")
    return frozenset(found)

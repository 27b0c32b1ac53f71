"""Who is asking: from the request's bearer token to its grant."""

import time

from proxy import policy
from proxy.errors import (
    AuthenticationError,
    RequestLimitReached,
    ServiceUnavailable,
    UpstreamKeyUnavailable,
)
from proxy.request import ProxyRequest
from tokens.directory import Directory, DirectoryUnavailableError, UnknownTokenError
from tokens.grant import Grant
from tokens.limits import RequestLimitReachedError, RequestLimits


async def identify(directory: Directory, request: ProxyRequest) -> Grant:
    """The grant of the request's token, usable or not. Raises ProxyError."""
    try:
        return await directory.lookup(request.bearer())
    except UnknownTokenError:
        raise AuthenticationError from None
    except DirectoryUnavailableError:
        raise ServiceUnavailable from None


def acquire(limits: RequestLimits, grant: Grant) -> None:
    """Take one request from the token's limit, last of all checks. Raises ProxyError."""
    policy.check_grant(grant, time.time())
    if grant.upstream_key is None:
        raise UpstreamKeyUnavailable
    try:
        limits.acquire(grant)
    except RequestLimitReachedError:
        raise RequestLimitReached from None

"""What a client is told of its limits: on every answer how long the token lives and what is left, and
`x-ratelimit-*` where our limit is tighter than upstream's.
"""

from functools import lru_cache

from projects.money import usd_text
from proxy.headers import first
from proxy.types import Headers
from tokens.grant import Grant
from tokens.limits.values import MINUTE_MS, Counters, Lease, Limits


def tell(headers: Headers, grant: Grant, lease: Lease) -> None:
    """Add to upstream's headers (lower-case names), and replace those of looser limits."""
    headers.append((b"x-llm-proxy-token-expires-at", grant.expires_at_text))
    if not lease.subjects:
        return
    stands = list(zip([subject.limits for subject in lease.subjects], lease.counters, strict=True))
    _tell_left(headers, stands)
    _tell_rate(
        headers,
        b"requests",
        [
            (limits.max_requests_per_minute, limits.max_requests_per_minute - counters.recent_requests)
            for limits, counters in stands
            if limits.max_requests_per_minute is not None
        ],
    )
    _tell_rate(
        headers,
        b"tokens",
        [
            (
                limits.max_model_tokens_per_minute,
                limits.max_model_tokens_per_minute - counters.recent_model_tokens,
            )
            for limits, counters in stands
            if limits.max_model_tokens_per_minute is not None
        ],
    )


def rate_headers(what: bytes, limit: int, left: int, reset_ms: int) -> Headers:
    """`x-ratelimit-*` as OpenAI writes them; `what` is `requests` or `tokens`."""
    return [
        (b"x-ratelimit-limit-" + what, b"%d" % limit),
        (b"x-ratelimit-remaining-" + what, b"%d" % max(0, left)),
        (b"x-ratelimit-reset-" + what, duration_text(reset_ms).encode()),
    ]


@lru_cache(maxsize=64)  # mostly it is the minute
def duration_text(milliseconds: int) -> str:
    """As OpenAI writes it: `20ms`, `1.5s`, `6m0s`."""
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    seconds = f"{rest / 1000:.3f}".rstrip("0").rstrip(".")
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"


def _tell_left(headers: Headers, stands: list[tuple[Limits, Counters]]) -> None:
    requests_left = min(
        (limits.max_requests - counters.requests for limits, counters in stands if limits.max_requests),
        default=None,
    )
    if requests_left is not None:
        headers.append((b"x-llm-proxy-remaining-requests", b"%d" % max(0, requests_left)))
    budget_left = min(
        (
            budget - spent - reserved
            for limits, counters in stands
            for budget, spent, reserved in zip(limits.budgets, counters.spent, counters.reserved, strict=True)
            if budget is not None
        ),
        default=None,
    )
    if budget_left is not None:
        headers.append((b"x-llm-proxy-remaining-budget-usd", usd_text(max(0, budget_left)).encode()))


def _tell_rate(headers: Headers, what: bytes, ours: list[tuple[int, int]]) -> None:
    if not ours:
        return
    limit, left = min(ours, key=lambda pair: pair[1])
    upstreams_left = first(headers, b"x-ratelimit-remaining-" + what)
    if upstreams_left is not None and upstreams_left.isdigit() and int(upstreams_left) <= left:
        return
    told = rate_headers(what, limit, left, MINUTE_MS)  # this request is the last to leave the minute
    names = {name for name, _ in told}
    headers[:] = [header for header in headers if header[0] not in names]
    headers += told

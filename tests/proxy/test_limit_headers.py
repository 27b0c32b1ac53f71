import pytest
from uuid_utils.compat import uuid7

from proxy.limit_headers import duration_text, tell
from proxy.types import Headers
from tests.grants import make_grant
from tokens.grant import Grant
from tokens.limits.periods import periods_at
from tokens.limits.values import NOTHING, Counters, Lease, Limits

UPSTREAMS: Headers = [
    (b"x-ratelimit-limit-requests", b"10000"),
    (b"x-ratelimit-remaining-requests", b"50"),
    (b"x-ratelimit-reset-requests", b"6ms"),
    (b"x-ratelimit-limit-tokens", b"2000000"),
    (b"x-ratelimit-remaining-tokens", b"5000"),
    (b"x-ratelimit-reset-tokens", b"30ms"),
    (b"x-request-id", b"req_1"),
]


def told(grant: Grant, *counters: Counters, upstreams: Headers = UPSTREAMS) -> dict[bytes, bytes]:
    lease = Lease(uuid7(), grant.subjects, 0, periods_at(0), NOTHING, 0, counters=counters)
    headers = list(upstreams)
    tell(headers, grant, lease)
    assert len(dict(headers)) == len(headers)  # replaced, not repeated
    return dict(headers)


def test_every_answer_says_when_the_token_expires() -> None:
    headers = told(make_grant(expires_at_text=b"2030-01-02T03:04:05Z"))
    assert headers == dict(UPSTREAMS) | {b"x-llm-proxy-token-expires-at": b"2030-01-02T03:04:05Z"}


def test_what_is_left_is_the_least_of_token_and_project() -> None:
    grant = make_grant(
        token_limits=Limits(max_requests=10, budgets=(2_000_000, 1_500_000, None, None)),
        project_limits=Limits(max_requests=100, budgets=(None, None, None, 9_000_000)),
    )
    headers = told(
        grant,
        Counters(requests=4, spent=(1_000_000, 750_000, 0, 0), reserved=(0, 250_000, 0, 0)),
        Counters(requests=99, spent=(0, 0, 0, 8_600_000)),
    )
    assert headers[b"x-llm-proxy-remaining-requests"] == b"1"
    assert headers[b"x-llm-proxy-remaining-budget-usd"] == b"0.40"


def test_our_rate_limit_is_told_where_it_is_tighter_than_upstreams() -> None:
    grant = make_grant(
        token_limits=Limits(max_requests_per_minute=60, max_model_tokens_per_minute=100_000),
        project_limits=Limits(max_requests_per_minute=1000),
    )
    headers = told(
        grant, Counters(recent_requests=11, recent_model_tokens=90_000), Counters(recent_requests=970)
    )
    assert headers[b"x-ratelimit-limit-requests"] == b"1000"
    assert headers[b"x-ratelimit-remaining-requests"] == b"30"
    assert headers[b"x-ratelimit-reset-requests"] == b"1m0s"
    assert headers[b"x-ratelimit-remaining-tokens"] == b"5000"  # upstream's: 10000 are left of ours
    assert headers[b"x-ratelimit-limit-tokens"] == b"2000000"


def test_our_rate_limit_is_told_where_upstream_has_none() -> None:
    grant = make_grant(token_limits=Limits(max_model_tokens_per_minute=100))
    headers = told(grant, Counters(recent_model_tokens=250), upstreams=[])
    assert headers[b"x-ratelimit-remaining-tokens"] == b"0"
    assert b"x-ratelimit-remaining-requests" not in headers


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(20, "20ms"), (1000, "1s"), (1500, "1.5s"), (59_999, "59.999s"), (60_000, "1m0s"), (90_500, "1m30.5s")],
)
def test_durations_are_written_as_openai_does(milliseconds: int, text: str) -> None:
    assert duration_text(milliseconds) == text

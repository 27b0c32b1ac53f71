"""How a WebSocket ends: what the client is told, and what the ledger says of it and of the turns that ran."""

from dataclasses import dataclass

from proxy.errors import InternalError, ProxyError
from proxy.websockets.client import (
    ABNORMAL,
    GOING_AWAY,
    NO_CODE,
    NORMAL,
    POLICY,
    RESTART,
    UPSTREAM_FAILED,
    SocketClosed,
    is_sendable,
)
from usage.outcomes import Outcome


@dataclass(frozen=True, slots=True)
class Ending:
    code: int
    """To the client."""
    reason: str
    outcome: Outcome
    """Of the connection."""
    turn_outcome: Outcome
    """Of what was running."""
    error_code: str = ""
    upstream_code: int = NORMAL
    """To upstream."""


def by_client(closed: SocketClosed) -> Ending:
    is_clean = closed.code != ABNORMAL
    code = closed.code if is_sendable(closed.code) else (NORMAL if is_clean else GOING_AWAY)
    return Ending(
        code=code,
        reason=closed.reason,
        outcome=Outcome.COMPLETED if is_clean else Outcome.CLIENT_CLOSED,
        turn_outcome=Outcome.CLIENT_CLOSED,
        upstream_code=code,
    )


def by_upstream(code: int, reason: str) -> Ending:
    """Upstream has closed in good order, with this code, 1005 for none: so do we."""
    if code != NO_CODE and not is_sendable(code):
        return upstream_broke_off()
    return Ending(
        code=NORMAL if code == NO_CODE else code,
        reason=reason,
        outcome=Outcome.COMPLETED,
        turn_outcome=Outcome.UPSTREAM_CUT,
    )


def upstream_broke_off() -> Ending:
    """Never a clean end for the client either."""
    return Ending(
        code=UPSTREAM_FAILED,
        reason="The upstream API broke off.",
        outcome=Outcome.UPSTREAM_CUT,
        turn_outcome=Outcome.UPSTREAM_CUT,
        error_code="upstream_unreachable",
    )


def refused(error: ProxyError) -> Ending:
    """What was sent must not pass, or the client may not go on; where that is our fault, it may try again."""
    return Ending(
        code=POLICY if error.status < 500 else UPSTREAM_FAILED,
        reason=f"{error.code}: {error.message}",
        outcome=Outcome.CUT,
        turn_outcome=Outcome.CUT,
        error_code=error.code,
    )


def idle(seconds: float) -> Ending:
    return Ending(
        code=GOING_AWAY,
        reason=f"No message for {seconds:g} s.",
        outcome=Outcome.CUT,
        turn_outcome=Outcome.CUT,
        error_code="idle",
    )


def restarting() -> Ending:
    return Ending(
        code=RESTART,
        reason="The proxy restarts. Connect again.",
        outcome=Outcome.INTERRUPTED,
        turn_outcome=Outcome.INTERRUPTED,
        upstream_code=GOING_AWAY,
    )


def failed() -> Ending:
    return Ending(
        code=UPSTREAM_FAILED,
        reason=InternalError.message,
        outcome=Outcome.INTERRUPTED,
        turn_outcome=Outcome.INTERRUPTED,
        error_code=InternalError.code,
    )

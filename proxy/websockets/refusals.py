"""Why a turn is refused, and how the client of an open WebSocket is told."""

from uuid import UUID

import msgspec
import uuid_utils

from proxy import admission
from proxy.errors import BadRequest, ProxyError
from tokens.grant import Grant
from tokens.limits.values import LimitStore, LimitsUnavailableError


def model_unknown() -> BadRequest:
    return BadRequest(
        "The limits of this access token depend on the model of each turn. Name one, in the session's query "
        "or in the turn.",
        param="model",
    )


async def used_up(limits: LimitStore, grant: Grant) -> ProxyError | None:
    """The error of a budget that is spent; None if none is, or nobody knows."""
    try:
        standing = await limits.standing(grant.subjects)
    except LimitsUnavailableError:
        return None
    for subject, counters in zip(grant.subjects, standing, strict=True):
        for budget, spent in zip(subject.limits.budgets, counters.spent, strict=True):
            if budget is not None and spent >= budget:
                return admission.budget_spent(grant.subjects)
    return None


def error_event(error: ProxyError, caused_by: str | None) -> str:
    """As the realtime API tells of what failed; `status` is what the responses API adds."""
    details = {
        "type": error.type,
        "code": error.code,
        "message": error.message,
        "param": error.param,
        "event_id": caused_by,
    }
    event = {
        "type": "error",
        "event_id": f"event_{UUID(int=uuid_utils.uuid7().int).hex}",
        "status": error.status,
        "error": details,
    }
    return msgspec.json.encode(event).decode()

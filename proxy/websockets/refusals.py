"""Why a turn is refused, and how the client of an open WebSocket is told."""

from uuid import UUID

import msgspec
import uuid_utils

from proxy import admission
from proxy.errors import BadRequest, ProxyError, RateLimitReached
from proxy.websockets.client_events import ClientEvent
from proxy.websockets.state import Ask
from tokens.grant import Grant
from tokens.limits.values import LimitStore, LimitsUnavailableError
from tokens.limits.verdict import RETRY_WHEN_RUNNING_MS


def model_unknown() -> BadRequest:
    return BadRequest(
        "The limits of this access token depend on the model of each turn. Name one, in the query of a "
        "session, or in a turn where there is none.",
        param="model",
    )


def check_own_model(event: ClientEvent, ask: Ask) -> None:
    """Of a turn of a session: upstream would answer with the session's model, whatever the turn names, and
    never say which. Raises BadRequest.
    """
    if event.named_model and all(facts.model != event.named_model for facts in ask.facts):
        raise BadRequest(
            "A turn of a session has the session's model, and cannot name another.", param="model"
        )


def too_many_turns(most: int) -> RateLimitReached:
    return RateLimitReached(
        "requests",
        f"The limit is {most} turns on one WebSocket, and so many wait or run.",
        retry_after_ms=RETRY_WHEN_RUNNING_MS,
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

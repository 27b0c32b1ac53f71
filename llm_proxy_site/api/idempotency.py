"""`Idempotency-Key`: who asks for the same thing again, since the answer got lost, is told what was done; it
is done once.

The plain text of a token is not kept, not even encrypted: it exists in one answer. One that is told again has
null in its place, and whoever has lost it rotates the token.
"""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import IntegrityError, transaction
from django.http import HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.crypto import salted_hmac
from ninja import Header
from ninja.responses import Status
from pydantic import Field

from llm_proxy_site.api.caller import Request
from llm_proxy_site.api.errors import Invalid
from llm_proxy_site.models import IdempotentAnswer

KEPT = timedelta(hours=24)
SECRETS = {"token"}
"""What answers call them."""

KeyText = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")]
IdempotencyKey = Annotated[
    KeyText | None,
    Header(
        default=None,
        alias="Idempotency-Key",
        description="Any text, new for each act: the same request with it within 24 h is done once.",
    ),
]


def once(request: Request, key: str | None, act: Callable[[], dict[str, Any]]) -> Any:
    """201 with what `act` returns; or what it returned before. A refusal is not kept: it changed nothing.

    Raises Invalid where the key came with another request.
    """
    if key is None:
        return Status(201, act())
    fingerprint = _fingerprint(request)
    caller, now = request.auth.id, timezone.now()
    IdempotentAnswer.objects.filter(created_at__lte=now - KEPT).delete()
    try:
        with transaction.atomic():
            # First: whoever asks the same at this moment waits here until we are done.
            answer = IdempotentAnswer.objects.create(
                caller=caller, key=key, fingerprint=fingerprint, created_at=now
            )
            facts = act()
            answer.status, answer.body = 201, _without_secrets(facts)
            answer.save(update_fields=["status", "body"])
            return Status(201, facts)
    except IntegrityError:
        known = IdempotentAnswer.objects.filter(caller=caller, key=key).first()
        if known is None:
            raise
    if known.fingerprint != fingerprint:
        raise Invalid("This Idempotency-Key came with another request before.", code="idempotency_key_reused")
    return _told_again(known)


def _told_again(known: IdempotentAnswer) -> HttpResponse:
    return JsonResponse(known.body, status=known.status, headers={"Idempotent-Replayed": "true"})


def _fingerprint(request: Request) -> str:
    """The body as JSON means it, so that the order of members does not matter. Keyed: there may be a password
    in it, which must not be found by trying.
    """
    body = json.dumps(json.loads(request.body or b"null"), sort_keys=True)
    text = f"{request.method} {request.path}\n{body}"
    return salted_hmac("llm_proxy_site.api.idempotency", text, algorithm="sha256").hexdigest()


def _without_secrets(facts: Any) -> Any:
    plain = json.loads(json.dumps(facts, cls=DjangoJSONEncoder))

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: None if name in SECRETS else clean(each) for name, each in value.items()}
        return [clean(each) for each in value] if isinstance(value, list) else value

    return clean(plain)

"""What the page of a request shows of its bodies: that they were kept; and, to who asks for them, what."""

import json
from dataclasses import dataclass

from django.http import HttpRequest
from django.utils import timezone

from audit.actors import of_user
from projects.encryption import UndecryptableError
from usage.captures.body import KeptBody
from usage.captures.lifecycle import read
from usage.captures.models import CapturedBodies
from usage.models import UsageRecord

MAY_READ = "usage.view_capturedbodies"
ASKED = "bodies"
"""The parameter of the page's query that asks for them: the page alone opens nothing."""


@dataclass(frozen=True, slots=True)
class Part:
    title: str
    body: KeptBody
    text: str


@dataclass(frozen=True, slots=True)
class Shown:
    parts: tuple[Part, ...] = ()
    """None, unless they were asked for."""
    problem: str = ""


def captured(request: HttpRequest, record: UsageRecord) -> Shown | None:
    """None: nothing was kept, or this person may not read it. What is shown leaves its trace."""
    if not request.user.has_perm(MAY_READ):
        return None
    row = CapturedBodies.objects.of(record.pk, timezone.now())
    if row is None or ASKED not in request.GET:
        return None if row is None else Shown()
    try:
        content = read(row, actor=of_user(request.user))
    except UndecryptableError as problem:
        return Shown(problem=str(problem))
    return Shown((_part("Request", content.request), _part("Answer", content.answer)))


def _part(title: str, body: KeptBody) -> Part:
    return Part(title, body, for_people(body.text or ""))


def for_people(text: str) -> str:
    """A document over several lines; a stream of events as it is."""
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text

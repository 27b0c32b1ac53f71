"""Texts that would run in a page that shows them as they are, in each free text that is kept; and a reader
that tells whether a page has any of it.
"""

from html.parser import HTMLParser
from typing import Any

from django.contrib.auth.models import Group

from audit import trail
from llm_proxy_site.models import ApiKey
from projects.models import Project, UpstreamKey
from tests.refusals.world import World
from tokens.exchange.models import TrustRule
from tokens.models import AccessToken
from usage.models import ModelPrice, ModelRollup, UsageRecord

ATTACK = "\"'><img src=x onerror=document.title='run'><script>run()</script>{{7*7}}"
"""Out of an attribute, and in a text. Not longer than any name may be."""
SHORT = "<img src=x>"
LINK = "javascript:run()//<img src=x>"


def fill(world: World) -> None:
    """Past all forms, which would refuse some of it."""
    rows = world.rows
    Project.objects.filter(pk=world.project.pk).update(
        name=ATTACK,
        base_url=LINK,
        upstream_organization=ATTACK,
        upstream_project=ATTACK,
        rules={"models": [ATTACK], "origins": [ATTACK]},
    )
    UpstreamKey.objects.update(name=ATTACK, last_failure_code=SHORT, last_four="<b>x")
    AccessToken.objects.update(name=ATTACK, rules={"models": [ATTACK]}, last_four="<b>x")
    TrustRule.objects.update(name=ATTACK, issuer=LINK, audience=ATTACK, claims={ATTACK: [ATTACK]})
    UsageRecord.objects.update(
        model=ATTACK,
        path=ATTACK,
        endpoint=ATTACK,
        method=SHORT[:10],
        error_code=SHORT,
        shadow_refusals=ATTACK,
        upstream_request_id=ATTACK,
        service_tier=SHORT,
    )
    ModelRollup.objects.update(model=ATTACK)
    ModelPrice.objects.update(model=ATTACK)
    ApiKey.objects.update(name=ATTACK)
    if rows["auth.group"]:
        Group.objects.filter(pk=rows["auth.group"].pk).update(name=ATTACK)
    member = rows["auth.user"]
    member.username = member.first_name = member.last_name = ATTACK
    member.email = LINK
    member.save()
    project = Project.objects.get(pk=world.project.pk)
    trail.record(SHORT, project, actor=f"user:{ATTACK}", project_id=project.pk, details={ATTACK: ATTACK})


class Reader(HTMLParser):
    """`found`: elements that no template of ours has."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values: dict[str, Any] = dict(attributes)
        runs = any(name.startswith("on") for name in values)
        links = any(
            (values.get(name) or "").lower().startswith("javascript:") for name in ("href", "src", "action")
        )
        is_script = tag == "script" and "src" not in values and values.get("type") != "application/json"
        if runs or links or is_script or values.get("src") == "x" or tag == "b":
            self.found.append(self.get_starttag_text() or tag)


def run_in(html: str) -> list[str]:
    reader = Reader()
    reader.feed(html)
    return reader.found

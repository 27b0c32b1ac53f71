"""A project with all that one can have, and people who must see or change nothing of it. MARK is in each of
its texts, and nowhere else.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.utils import timezone

from audit import trail
from llm_proxy_site.api.keys import create_api_key
from llm_proxy_site.api.scopes import ALL_SCOPES
from projects.access import ADMIN, OPERATOR, VIEWER
from projects.models import Project
from tests.factories import (
    CapturedBodiesFactory,
    ProjectFactory,
    TrustRuleFactory,
    UsageRecordFactory,
    UserFactory,
    issue_token,
    usage_entry,
)
from usage.batches import write_batch
from usage.models import BudgetAlert, ModelPrice, UsageRecord

MARK = "quagga"
LAST_FOUR = "QGGA"
"""Of its upstream key."""
CLOSED = "http://127.0.0.1:1"
"""Nobody listens there."""


@dataclass(frozen=True)
class World:
    """`rows`: of the foreign project, or of nobody's, by the model's label; `mine`: a project beside it."""

    rows: dict[str, Any]
    mine: Project
    plain: str
    """Of the foreign project's token."""

    @property
    def project(self) -> Project:
        return self.rows["projects.project"]

    @property
    def hidden(self) -> list[str]:
        """What stands in no answer to whom it does not concern."""
        return [MARK, f"…{LAST_FOUR}", self.plain, self.rows["tokens.accesstoken"].digest]

    @property
    def ids(self) -> list[str]:
        """Nor these, but where they were asked for."""
        scoped = ("projects.project", "projects.upstreamkey", "tokens.accesstoken", "tokens.trustrule")
        return [str(self.rows[label].pk) for label in (*scoped, "usage.usagerecord", "audit.auditevent")]


def make_world(*, beside_a_server: bool = False) -> World:
    """Beside a server with none of a group: what is emptied between tests then, groups are not."""
    project = ProjectFactory(
        name=f"{MARK} project",
        base_url=f"{CLOSED}/{MARK}/v1",
        upstream_organization=f"org-{MARK}",
        upstream_project=f"proj-{MARK}",
        upstream_key__plain=f"sk-upstream-{MARK}-{LAST_FOUR}",
        upstream_key__name=f"{MARK} key",
        upstream_key__last_failed_at=timezone.now(),
        daily_budget_microusd=1_000_000,
        permits_renewal=True,
    )
    soon = timezone.now() + timedelta(hours=1)
    token, plain = issue_token(project=project, name=f"{MARK} token", ttl=timedelta(days=1), expires_at=soon)
    member = UserFactory(role=VIEWER, username=f"{MARK}-member", projects=[project])
    key, _ = create_api_key(
        UserFactory(role=VIEWER, username=f"{MARK}-keeper", projects=[project]),
        name=f"{MARK} api key",
        scopes=ALL_SCOPES,
        ttl=timedelta(hours=1),
        actor="user:x",
        now=timezone.now(),
    )
    record = _used(token, project)
    CapturedBodiesFactory(id=record.pk, project=project, text=MARK)
    event = trail.record(
        "token.seen", token, actor=f"user:{MARK}", project_id=project.id, details={"x": MARK}
    )
    trail.record_act("database.seen", "database", actor=f"cli:{MARK}")
    rule = TrustRuleFactory(
        project=project,
        name=f"{MARK} rule",
        issuer=f"https://{MARK}.example.com",
        audience=MARK,
        claims={"repository": [MARK]},
    )
    rows = {
        "projects.project": project,
        "projects.upstreamkey": project.upstream_keys.get(),
        "tokens.accesstoken": token,
        "tokens.trustrule": rule,
        "usage.usagerecord": record,
        "usage.modelprice": ModelPrice.objects.create(model="priced", input_price=1, output_price=1),
        "audit.auditevent": event,
        "auth.user": member,
        "auth.group": None if beside_a_server else Group.objects.create(name=f"{MARK} group"),
        "llm_proxy_site.apikey": key,
    }
    return World(rows, ProjectFactory(name="my own project"), plain)


def _used(token: Any, project: Project) -> UsageRecord:
    """In the sums too, and beyond a budget's threshold."""
    write_batch([usage_entry(token, model=f"{MARK}-model", status=200, input_tokens=1, output_tokens=1)])
    today = timezone.now().date()
    BudgetAlert.objects.create(
        subject_id=project.pk, window="day", period=today, limit_microusd=1_000_000, percent=80
    )
    return UsageRecordFactory(
        token=token,
        path=f"/v1/{MARK}",
        model=f"{MARK}-model",
        error_code=MARK,
        upstream_request_id=MARK,
        shadow_refusals=MARK,
    )


NOBODY = "nobody"
STRANGER = "signed in, not of staff"
ROLELESS = "of staff, a member without a role"
VIEWER_HERE = "a viewer of the project"
VIEWER_ELSEWHERE = "a viewer of another project"
OPERATOR_ELSEWHERE = "an operator of another project"
MANAGER_ELSEWHERE = "one of another project who may do all that can be done to one"
ADMIN_ELSEWHERE = "an admin who is a member of another project"
OUTSIDERS = [NOBODY, STRANGER, ROLELESS, VIEWER_ELSEWHERE, OPERATOR_ELSEWHERE, MANAGER_ELSEWHERE]
"""Who sees nothing of the project."""


def person(who: str, world: World) -> User | None:
    here, elsewhere = [world.project], [world.mine]
    match who:
        case "nobody":
            return None
        case "signed in, not of staff":  # a member, even
            return UserFactory(projects=here)
        case "of staff, a member without a role":
            return UserFactory(is_staff=True, projects=here)
        case "a viewer of the project":
            return UserFactory(role=VIEWER, projects=here)
        case "a viewer of another project":
            return UserFactory(role=VIEWER, projects=elsewhere)
        case "an operator of another project":
            return UserFactory(role=OPERATOR, projects=elsewhere)
        case "an admin who is a member of another project":
            return UserFactory(role=ADMIN, projects=elsewhere)
    return _manager(world.mine)


def _manager(project: Project) -> User:
    """A group as an installation may make it: all of these apps, but for seeing all projects."""
    user: User = UserFactory(is_staff=True, projects=[project])
    types = ContentType.objects.filter(app_label__in=["projects", "tokens", "usage", "audit"])
    may = Permission.objects.filter(content_type__in=types).exclude(codename="see_all_projects")
    user.user_permissions.set(may)
    return user

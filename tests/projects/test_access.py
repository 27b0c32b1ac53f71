import pytest
from django.contrib.auth.models import AnonymousUser

from audit.models import AuditEvent
from projects import lifecycle
from projects.access import (
    ADMIN,
    OPERATOR,
    VIEWER,
    may_administer,
    may_operate,
    may_view,
    visible_project_ids,
    within_reach,
)
from projects.models import Project
from tests.factories import AccessTokenFactory, ProjectFactory, UsageRecordFactory, UserFactory
from tokens.models import AccessToken
from usage.models import UsageRecord

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("role", [VIEWER, OPERATOR])
def test_members_see_their_projects_only(role: str) -> None:
    mine, other = ProjectFactory.create_batch(2)
    user = UserFactory(role=role, projects=[mine])
    assert list(Project.objects.visible_to(user)) == [mine]
    assert other not in Project.objects.visible_to(user)


@pytest.mark.parametrize("person", [{"superuser": True}, {"role": ADMIN}])
def test_superusers_and_admins_see_all(person: dict[str, object]) -> None:
    project = ProjectFactory()
    user = UserFactory(**person)
    assert list(Project.objects.visible_to(user)) == [project]
    assert visible_project_ids(user) is None


def test_tokens_and_requests_are_seen_as_their_projects_are() -> None:
    mine, other = AccessTokenFactory.create_batch(2)
    record, _ = UsageRecordFactory(token=mine), UsageRecordFactory(token=other)
    user = UserFactory(role=VIEWER, projects=[mine.project])
    assert list(AccessToken.objects.visible_to(user)) == [mine]
    assert list(within_reach(UsageRecord.objects.all(), user)) == [record]


@pytest.mark.parametrize("person", [{"role": VIEWER}, {"role": ADMIN}, {"superuser": True}])
def test_people_who_are_switched_off_see_and_may_do_nothing(person: dict[str, object]) -> None:
    project = ProjectFactory()
    user = UserFactory(**person, projects=[project], is_active=False)
    assert not Project.objects.visible_to(user).exists()
    assert not any((may_view(user), may_operate(user), may_administer(user)))


def test_strangers_see_nothing() -> None:
    ProjectFactory()
    assert not Project.objects.visible_to(AnonymousUser()).exists()
    assert not may_view(AnonymousUser())


@pytest.mark.parametrize(
    ("role", "may"),
    [(VIEWER, (True, False, False)), (OPERATOR, (True, True, False)), (ADMIN, (True, True, True))],
)
def test_roles_say_what_may_be_done(role: str, may: tuple[bool, bool, bool]) -> None:
    user = UserFactory(role=role)
    assert (may_view(user), may_operate(user), may_administer(user)) == may


def test_membership_without_a_role_lets_nothing_be_seen() -> None:
    assert not may_view(UserFactory(projects=[ProjectFactory()]))


def test_membership_comes_and_goes_with_its_trace() -> None:
    project, user = ProjectFactory(), UserFactory(username="grace")
    done = [lifecycle.add_member(project, user, actor="user:ada") for _ in range(2)]
    done += [lifecycle.remove_member(project, user, actor="user:ada") for _ in range(2)]
    assert done == [True, False, True, False]
    events = AuditEvent.objects.order_by("id").values_list("action", "project_id", "details")
    assert list(events) == [
        ("project.member_added", project.id, {"member": "grace"}),
        ("project.member_removed", project.id, {"member": "grace"}),
    ]

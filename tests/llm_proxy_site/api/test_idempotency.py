import json
from datetime import timedelta

import pytest
from django.utils import timezone

from llm_proxy_site.models import IdempotentAnswer
from projects.models import Project
from tests.factories import UPSTREAM_KEY, ProjectFactory, UserFactory
from tests.management import Manager, key_of, refusal
from tokens.models import AccessToken

pytestmark = pytest.mark.django_db
KEY = {"Idempotency-Key": "build-77"}


def test_the_same_request_is_done_once_and_its_plain_text_is_told_once(ada: Manager) -> None:
    body = {"project_id": str(ProjectFactory().id), "name": "ci"}
    first = ada.call("POST", "/tokens", body, **KEY)
    again = ada.call("POST", "/tokens", dict(reversed(body.items())), **KEY)

    assert (first.status_code, again.status_code) == (201, 201)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert AccessToken.objects.count() == 1
    assert json.loads(first.content)["token"].startswith("sk-wt-")
    assert json.loads(again.content) == {**json.loads(first.content), "token": None}


def test_of_a_batch_no_plain_text_is_told_again(ada: Manager) -> None:
    body = {"project_id": str(ProjectFactory().id), "count": 2}
    ada.do("POST", "/tokens/batch", body, **KEY)
    assert [each["token"] for each in ada.do("POST", "/tokens/batch", body, **KEY)["data"]] == [None, None]
    assert AccessToken.objects.count() == 2


def test_the_key_of_another_request_is_refused(ada: Manager) -> None:
    body = {"project_id": str(ProjectFactory().id)}
    ada.do("POST", "/tokens", body, **KEY)
    for path, other in (("/tokens", {**body, "name": "other"}), ("/tokens/batch", {**body, "count": 1})):
        refused = ada.call("POST", path, other, **KEY)
        assert refusal(refused) == (422, "idempotency_key_reused", None)
    assert AccessToken.objects.count() == 1


def test_a_refusal_is_not_kept(ada: Manager) -> None:
    body = {"name": "alpha", "upstream_key": UPSTREAM_KEY}
    taken = ProjectFactory(name="alpha")
    assert ada.call("POST", "/projects", body, **KEY).status_code == 422
    taken.name = "beta"
    taken.save()
    assert ada.call("POST", "/projects", body, **KEY).status_code == 201
    assert Project.objects.count() == 2


def test_keys_of_two_callers_have_nothing_to_do_with_each_other(ada: Manager) -> None:
    body = {"project_id": str(ProjectFactory().id)}
    grace = Manager(key_of(UserFactory(superuser=True)))
    for caller in (ada, grace):
        assert caller.do("POST", "/tokens", body, **KEY)["token"] is not None


def test_an_answer_is_forgotten_after_a_day(ada: Manager) -> None:
    body = {"project_id": str(ProjectFactory().id)}
    ada.do("POST", "/tokens", body, **KEY)
    IdempotentAnswer.objects.update(created_at=timezone.now() - timedelta(hours=24))
    assert ada.do("POST", "/tokens", body, **KEY)["token"] is not None
    assert IdempotentAnswer.objects.count() == 1


@pytest.mark.parametrize("key", ["", "a b", "k" * 256])
def test_a_bad_key_is_refused(ada: Manager, key: str) -> None:
    body = {"project_id": str(ProjectFactory().id)}
    refused = ada.call("POST", "/tokens", body, **{"Idempotency-Key": key})
    assert refusal(refused) == (422, "invalid_value", "Idempotency-Key")

"""An upstream key is tried by API and by command. By button: tests/llm_proxy_site/control_room."""

from typing import Any
from uuid import uuid4

import pytest
from django.core.management.base import CommandError

from audit.models import AuditEvent
from llm_proxy_site.api.scopes import ApiScope
from projects.access import ADMIN, OPERATOR
from projects.models import UpstreamKey
from tests.commands import run, run_json
from tests.factories import ProjectFactory
from tests.live import LiveProxy
from tests.management import Manager, refusal

pytestmark = pytest.mark.django_db
PLAIN = "sk-upstream-tried-0003"
REFUSED = "sk-upstream-refused-0004"
NOBODY_LISTENS = "http://127.0.0.1:9/v1"


def key_of_project(base_url: str, plain: str = PLAIN) -> UpstreamKey:
    return ProjectFactory(name="alpha", base_url=base_url, upstream_key__plain=plain).upstream_keys.get()


def path(key: UpstreamKey) -> str:
    return f"/projects/{key.project_id}/keys/{key.pk}/test"


def last_event() -> tuple[str, str, Any]:
    event = AuditEvent.objects.latest("id")
    return event.action, event.actor.split(":")[0], event.details


def test_a_key_that_works_is_told_by_api_and_command(live: LiveProxy) -> None:
    key = key_of_project(live.upstream_url)
    told = Manager.of_superuser().do("POST", path(key))
    assert (told["works"], told["status"], told["code"], told["key"]) == (True, 200, None, "…0003")
    assert told["models"] > 0
    assert 0 < told["seconds"] < 10
    assert last_event() == ("upstream_key.tested", "api", {"works": True})

    by_command = run_json("test_upstream_key", str(key.pk))
    assert {**by_command, "seconds": 0, "message": ""} == {**told, "seconds": 0, "message": ""}
    assert last_event() == ("upstream_key.tested", "cli", {"works": True})
    assert run("test_upstream_key", str(key.pk)).startswith("Upstream key …0003 of alpha works: 200 after ")


def test_a_key_that_upstream_refuses_is_no_error_of_the_api_but_one_of_the_command(live: LiveProxy) -> None:
    key = key_of_project(live.upstream_url, REFUSED)
    live.fault_key(REFUSED, status="401")
    told = Manager.of_superuser().do("POST", path(key))
    assert (told["works"], told["status"]) == (False, 401)
    assert REFUSED not in str(told)
    with pytest.raises(CommandError, match="…0004 of alpha does not work: upstream answers 401") as raised:
        run("test_upstream_key", str(key.pk))
    assert REFUSED not in str(raised.value)
    assert last_event() == ("upstream_key.tested", "cli", {"works": False})


def test_an_upstream_that_does_not_answer_is_told() -> None:
    told = Manager.of_superuser().do("POST", path(key_of_project(NOBODY_LISTENS)))
    unknown = dict.fromkeys(("status", "code", "models", "seconds"))
    assert {name: told[name] for name in unknown} == unknown
    assert (told["works"], told["message"]) == (False, "upstream did not answer (ConnectError).")


def test_a_key_is_tried_by_who_may_change_it_only() -> None:
    key = key_of_project(NOBODY_LISTENS)
    for manager, status in (
        (Manager.with_role(OPERATOR, key.project), 403),
        (Manager.with_role(ADMIN, scopes={ApiScope.KEYS_READ}), 403),
        (Manager.with_role(ADMIN), 200),
    ):
        assert manager.call("POST", path(key)).status_code == status


def test_a_key_is_tried_as_one_of_its_project_only() -> None:
    key, other = key_of_project(NOBODY_LISTENS), ProjectFactory()
    ada = Manager.of_superuser()
    for project_id, key_id in ((other.pk, key.pk), (key.project_id, uuid4())):
        answer = ada.call("POST", f"/projects/{project_id}/keys/{key_id}/test")
        assert refusal(answer)[:2] == (404, "not_found")
    assert not AuditEvent.objects.filter(action="upstream_key.tested").exists()

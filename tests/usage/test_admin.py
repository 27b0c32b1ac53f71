from uuid import UUID

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from tests.factories import AccessTokenFactory, UsageRecordFactory, UserFactory
from usage.models import UsageRecord
from usage.outcomes import Outcome

pytestmark = pytest.mark.django_db
LIST = reverse("admin:usage_usagerecord_changelist")
GONE = UUID("0190c8b0-0000-7000-8000-000000000000")


@pytest.fixture
def ada(client: Client) -> Client:
    client.force_login(UserFactory(superuser=True, username="ada"))
    return client


def page(record: UsageRecord, view: str = "change") -> str:
    return reverse(f"admin:usage_usagerecord_{view}", args=[record.pk])


@pytest.fixture
def orphan() -> UsageRecord:
    """A request whose project and token are no longer there."""
    record: UsageRecord = UsageRecordFactory()
    UsageRecord.objects.update(project_id=GONE, token_id=GONE)
    return record


def test_list_and_page_show_a_request(ada: Client) -> None:
    record = UsageRecordFactory(token=AccessTokenFactory(name="laptop"), duration_seconds=1.5)
    for url in (LIST, page(record)):
        html = ada.get(url).content.decode()
        for shown in ("laptop", record.project.name, "/chat/completions", "gpt-4o-mini", "completed"):
            assert shown in html


def test_number_of_queries_does_not_grow_with_the_list(
    ada: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    UsageRecordFactory.create_batch(5)
    with django_assert_max_num_queries(10):
        ada.get(LIST)


def test_request_of_a_deleted_token_is_still_listed_and_shown(ada: Client, orphan: UsageRecord) -> None:
    for url in (LIST, page(orphan)):
        assert ada.get(url).content.decode().count(f"{GONE} (gone)") == 2


@pytest.mark.parametrize("field", ["id", "upstream_request_id"])
def test_list_is_searched_by_whole_ids(ada: Client, field: str) -> None:
    record = UsageRecordFactory(upstream_request_id="req_abc", model="wanted-model")
    UsageRecordFactory(upstream_request_id="req_def", model="other-model")
    html = ada.get(LIST, {"q": f" {getattr(record, field)} "}).content.decode()
    assert "wanted-model" in html
    assert "other-model" not in html


def test_search_for_a_part_of_an_id_finds_nothing(ada: Client) -> None:
    UsageRecordFactory(upstream_request_id="req_abc", model="wanted-model")
    assert "wanted-model" not in ada.get(LIST, {"q": "req_"}).content.decode()


def test_list_is_filtered_by_outcome_and_project(ada: Client) -> None:
    record = UsageRecordFactory(outcome=Outcome.REFUSED, model="wanted-model")
    UsageRecordFactory(model="other-model", token=AccessTokenFactory(project=record.project))
    UsageRecordFactory(outcome=Outcome.REFUSED, model="other-model")
    query = {"outcome__exact": "refused", "project__id__exact": str(record.project_id)}
    html = ada.get(LIST, query).content.decode()
    assert "wanted-model" in html
    assert "other-model" not in html


def test_requests_are_neither_added_changed_nor_deleted(ada: Client) -> None:
    record = UsageRecordFactory()
    assert ada.get(reverse("admin:usage_usagerecord_add")).status_code == 403
    assert ada.post(page(record), {"model": "x"}).status_code == 403
    assert ada.post(page(record, "delete"), {"post": "yes"}).status_code == 403
    assert 'name="_save"' not in ada.get(page(record)).content.decode()
    assert 'name="action"' not in ada.get(LIST).content.decode()


def test_what_clients_and_upstream_sent_is_escaped(ada: Client) -> None:
    record = UsageRecordFactory(model="<b>bold</b>", path="/v1/<b>bold</b>")
    for url in (LIST, page(record)):
        html = ada.get(url).content.decode()
        assert "&lt;b&gt;bold&lt;/b&gt;" in html
        assert "<b>bold" not in html


def test_strangers_are_sent_to_sign_in(client: Client) -> None:
    assert client.get(LIST).headers["location"] == f"{reverse('admin:login')}?next={LIST}"


def test_users_who_are_not_staff_are_refused(client: Client) -> None:
    client.force_login(UserFactory())
    assert "not authorized to access this page" in client.get(LIST, follow=True).content.decode()

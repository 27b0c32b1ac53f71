import re
from decimal import Decimal
from uuid import UUID

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from audit.models import AuditEvent
from tests.factories import AccessTokenFactory, UsageRecordFactory, UserFactory
from tests.usage.factories import ModelPriceFactory
from usage.models import ModelPrice, UsageRecord
from usage.outcomes import CostSource, Outcome
from usage.record_page import fieldsets_of

pytestmark = pytest.mark.django_db
LIST = reverse("admin:usage_usagerecord_changelist")
PRICES = reverse("admin:usage_modelprice_changelist")
ADD_PRICE = reverse("admin:usage_modelprice_add")
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


def test_page_does_not_lead_to_a_history_that_is_empty(ada: Client) -> None:
    record = UsageRecordFactory()
    assert page(record, "history") not in ada.get(page(record)).content.decode()


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


def test_list_shows_what_each_request_cost(ada: Client) -> None:
    UsageRecordFactory(cost_source=CostSource.PRICE, cost_microusd=1_250_000)
    UsageRecordFactory(cost_source=CostSource.FREE, cost_microusd=0)
    UsageRecordFactory(cost_source=CostSource.UNPRICED, cost_microusd=None)
    html = ada.get(LIST).content.decode()
    assert sorted(re.findall(r'<td class="field-cost[^"]*">([^<]*)</td>', html)) == [
        "0.00",
        "1.25",
        "unpriced",
    ]


def test_page_shows_the_cost_and_what_it_was_of(ada: Client) -> None:
    record = UsageRecordFactory(
        cost_source=CostSource.FLAT,
        cost_microusd=12_345,
        cache_write_tokens=1_111,
        audio_input_tokens=2_222,
        audio_output_tokens=3_333,
        service_tier="flex",
    )
    html = ada.get(page(record)).content.decode()
    for shown in ("0.012345", "the project&#x27;s flat price", "1111", "2222", "3333", "flex"):
        assert shown in html


def test_page_leaves_out_what_is_not_known_and_rounds_to_milliseconds(ada: Client) -> None:
    record = UsageRecordFactory(
        duration_seconds=1.2345678901234567,
        first_byte_seconds=0.1 + 0.2,
        input_tokens=11,
        output_tokens=0,
        cached_tokens=0,
        reasoning_tokens=7,
    )
    html = ada.get(page(record)).content.decode()
    fields = re.findall(r'<div class="readonly">([^<]*)</div>', html)
    assert {"1.235 s", "0.300 s", "11", "0", "7"} <= set(fields)
    assert "-" not in fields
    assert "Reasoning tokens" in html
    for absent in (
        "Cached tokens",
        "Audio",
        "Image",
        "Error code",
        "Service tier",
        "upstream says",
        "1.23456",
    ):
        assert absent not in html


def test_page_shows_every_column_of_a_request_that_has_them_all(ada: Client) -> None:
    columns = {field.name for field in UsageRecord._meta.fields}
    known = {name: 1 for name in columns if name.endswith(("_tokens", "_seconds"))}
    texts = dict.fromkeys(("error_code", "shadow_refusals", "service_tier", "upstream_request_id"), "x")
    record = UsageRecordFactory(**known, **texts)
    lines = [line for _, options in fieldsets_of(record) for line in options["fields"]]
    shown = {f"{each}_seconds" if f"{each}_seconds" in columns else each for line in lines for each in line}
    named = {"project_name": "project", "token_name": "token", "cost": "cost_microusd", "began": "started_at"}
    assert {named.get(each, each) for each in shown} - {"timeline"} == columns - {"id"}  # above them


def test_list_is_filtered_by_where_costs_come_from(ada: Client) -> None:
    UsageRecordFactory(model="wanted-model")
    UsageRecordFactory(model="other-model", cost_source=CostSource.PRICE, cost_microusd=1)
    html = ada.get(LIST, {"cost_source__exact": "unpriced"}).content.decode()
    assert "wanted-model" in html
    assert "other-model" not in html


def price_page(price: ModelPrice, view: str = "change") -> str:
    return reverse(f"admin:usage_modelprice_{view}", args=[price.pk])


def price_form(**values: str) -> dict[str, str]:
    """What a browser would send."""
    empty = (
        "cached_input_price",
        "audio_input_price",
        "audio_output_price",
        "context_window",
        "max_output_tokens",
    )
    return {"model": "my-*", "input_price": "2.5", "output_price": "10", **dict.fromkeys(empty, "")} | values


def price_events() -> list[tuple[str, str, str, str]]:
    events = AuditEvent.objects.order_by("id")
    return [(event.action, event.actor, event.subject_name, event.details["input_price"]) for event in events]


def test_prices_are_listed_in_us_dollars(ada: Client) -> None:
    ModelPriceFactory(model="my-*", input_price="2.5", output_price="10")
    html = ada.get(PRICES).content.decode()
    assert re.findall(r'<td class="field-(?:input|cached_input|output)">([^<]*)</td>', html) == [
        "2.50",
        "-",
        "10.00",
    ]


def test_price_is_added_changed_and_deleted(ada: Client) -> None:
    ada.post(ADD_PRICE, price_form())
    price = ModelPrice.objects.get()
    assert (price.model, price.input_price, price.output_price) == ("my-*", Decimal("2.5"), Decimal(10))
    ada.post(price_page(price), price_form(input_price="3", cached_input_price="0"))
    price.refresh_from_db()
    assert (price.input_price, price.cached_input_price) == (Decimal(3), Decimal(0))
    ada.post(price_page(price, "delete"), {"post": "yes"})
    assert not ModelPrice.objects.exists()
    assert price_events() == [
        ("price.set", "user:ada", "my-*", "2.50"),
        ("price.set", "user:ada", "my-*", "3.00"),
        ("price.removed", "user:ada", "my-*", "3.00"),
    ]


def test_prices_that_are_deleted_from_the_list_are_each_audited(ada: Client) -> None:
    prices = ModelPriceFactory.create_batch(2)
    chosen = [price.pk for price in prices]
    ada.post(PRICES, {"action": "delete_selected", "_selected_action": chosen, "post": "yes"})
    assert not ModelPrice.objects.exists()
    assert [event[0] for event in price_events()] == ["price.removed", "price.removed"]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"input_price": "-1"}, "Ensure this value is greater than or equal to 0."),
        ({"audio_output_price": "-0.01"}, "Ensure this value is greater than or equal to 0."),
        ({"input_price": "0.0000001"}, "Ensure that there are no more than 6 decimal places."),
        ({"input_price": "cheap"}, "Enter a number."),
        ({"output_price": ""}, "This field is required."),
        ({"model": "  "}, "This field is required."),
        ({"model": "taken"}, "Model price with this Model already exists."),
    ],
)
def test_price_that_makes_no_sense_is_refused_at_its_field(
    ada: Client, values: dict[str, str], problem: str
) -> None:
    ModelPriceFactory(model="taken")
    response = ada.post(ADD_PRICE, price_form(**values))
    (field,) = values
    assert response.context["adminform"].form.errors == {field: [problem]}
    assert ModelPrice.objects.count() == 1
    assert not AuditEvent.objects.exists()


def test_who_may_only_view_prices_cannot_set_them(client: Client) -> None:
    price = ModelPriceFactory()
    user = UserFactory(is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_modelprice"))
    client.force_login(user)
    assert price.model in client.get(PRICES).content.decode()
    assert client.post(ADD_PRICE, price_form()).status_code == 403
    assert client.post(price_page(price), price_form()).status_code == 403
    assert client.post(price_page(price, "delete"), {"post": "yes"}).status_code == 403
    assert ModelPrice.objects.get().model == price.model

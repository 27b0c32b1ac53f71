import json

from django.test import Client

from tests.openapi import FILE, document


def test_the_document_that_is_committed_is_the_one_that_is_served(db: None) -> None:
    served = Client().get("/manage/openapi.json").json()
    assert served == document()
    assert json.loads(FILE.read_text(encoding="utf-8")) == served, "run `make openapi`"


def test_every_operation_says_what_it_is() -> None:
    ids = []
    for path in document()["paths"].values():
        for operation in path.values():
            ids.append(operation["operationId"])
            assert operation["summary"]
            assert operation["tags"]
            assert {"401", "403", "422", "429", "default"} <= operation["responses"].keys()
    assert len(ids) == len(set(ids))


def test_no_page_is_served_that_would_load_what_is_not_ours(db: None) -> None:
    assert Client().get("/manage/docs").status_code == 404

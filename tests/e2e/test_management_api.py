"""The management API on a real server: a token's whole life, and whatever schemathesis thinks of."""

from contextlib import suppress
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from tests.factories import (
    UPSTREAM_KEY,
    ProjectFactory,
    TrustRuleFactory,
    UsageRecordFactory,
    UserFactory,
    issue_token,
)
from tests.live import LiveProxy, eventually
from tests.management import key_of
from tests.openapi import document

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
EXAMPLES = 2
"""Of each operation, as the document has it, and as it has it not: each is a request."""


def test_a_token_lives_and_dies_by_the_api(live: LiveProxy) -> None:
    headers = {"Authorization": f"Bearer {key_of(UserFactory(superuser=True))}"}
    with httpx.Client(base_url=f"{live.url}/manage", headers=headers) as api:
        project = api.post("/projects", json={"name": "alpha", "upstream_key": UPSTREAM_KEY}).json()
        token = api.post("/tokens", json={"project_id": project["id"], "name": "ci"}).json()
        call = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}

        def complete() -> int:
            bearer = {"Authorization": f"Bearer {token['token']}"}
            return httpx.post(f"{live.base_url}/chat/completions", json=call, headers=bearer).status_code

        assert complete() == 200
        of_token = {"token_id": token["id"]}
        (record,) = eventually(lambda: api.get("/usage", params=of_token).json()["data"])
        assert (record["outcome"], record["model"]) == ("completed", "gpt-4o-mini-2024-07-18")
        assert api.get("/usage/summary", params=of_token).json()["total"]["requests"] == 1
        breakers = eventually(lambda: api.get("/health").json()["breakers"])
        assert live.upstream_url in {breaker["base_url"] for breaker in breakers}

        assert api.delete(f"/tokens/{token['id']}").json()["state"] == "revoked"
        eventually(lambda: complete() == 401, within_seconds=5)
        actions = [event["action"] for event in api.get("/audit").json()["data"]]
        assert actions[:2] == ["token.revoked", "token.issued"]


def test_nothing_that_is_asked_makes_it_fail_or_answer_otherwise_than_its_document_says(
    live: LiveProxy,
) -> None:
    headers = {"Authorization": f"Bearer {key_of(UserFactory(superuser=True))}"}
    schema = schemathesis.openapi.from_dict(_without_security(document()))
    ids = _ids()
    for result in schema.get_all_operations():
        operation = result.ok()
        _try(operation, GenerationMode.POSITIVE, live.url, headers, ids)
        with suppress(Unsatisfiable):  # nothing of it can be wrong
            _try(operation, GenerationMode.NEGATIVE, live.url, headers, ids)


def _without_security(document: dict[str, Any]) -> dict[str, Any]:
    """Each request has a good key: who has none is refused (tests/llm_proxy_site/api/test_refusals.py)."""
    for path in document["paths"].values():
        for operation in path.values():
            del operation["security"]
    return document


def _try(
    operation: Any, mode: GenerationMode, url: str, headers: dict[str, str], ids: dict[str, str]
) -> None:
    @settings(
        max_examples=EXAMPLES,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), is_known=st.booleans())
    def ask(case: Any, is_known: bool) -> None:
        if is_known and mode is GenerationMode.POSITIVE:
            case.path_parameters |= {name: ids[name] for name in case.path_parameters or {} if name in ids}
        case.call_and_validate(base_url=url, headers=headers, checks=CHECKS)

    ask()


def _ids() -> dict[str, str]:
    """Of what is there."""
    project = ProjectFactory()
    token, _ = issue_token(project=project)
    rows = {
        "project_id": project,
        "token_id": token,
        "key_id": project.upstream_keys.get(),
        "rule_id": TrustRuleFactory(project=project),
        "record_id": UsageRecordFactory(token=token),
    }
    ids = {name: str(row.pk) for name, row in rows.items()}
    return {**ids, "username": UserFactory(projects=[project]).username}

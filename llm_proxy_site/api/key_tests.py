"""POST /manage/projects/ID/keys/ID/test. Not in projects/api.py: who asks upstream knows the proxy, and
projects must not.
"""

from typing import Any
from uuid import UUID

from ninja import Router, Schema

from llm_proxy_site.api.caller import Request, found
from llm_proxy_site.key_tests import key_test_facts, try_key
from projects.api import CHANGE_KEYS

router = Router(tags=["projects"])


class UpstreamKeyTest(Schema):
    """`status`, `code`, `models`: what upstream answered, where it did. Its words are not told."""

    upstream_key_id: UUID
    key: str
    project_id: UUID
    project: str
    works: bool
    message: str
    status: int | None
    code: str | None
    models: int | None
    seconds: float | None


@router.post(
    "/{project_id}/keys/{key_id}/test",
    auth=CHANGE_KEYS,
    response=UpstreamKeyTest,
    operation_id="test_upstream_key",
    summary="Ask upstream for its models with an upstream key: whether it works",
)
def test_upstream_key(request: Request, project_id: UUID, key_id: UUID) -> dict[str, Any]:
    """Asks as a request of the project would, once; takes as long as upstream does."""
    keys = request.auth.project(project_id).upstream_keys.select_related("project")
    key = found(keys, key_id, "such upstream key")
    return key_test_facts(key, try_key(key, actor=request.auth.actor))

"""Grants for tests that need no database."""

from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from tokens.grant import Grant, RingKey
from tokens.limits.values import Kind, Limits, Subject

BASE_URL = "http://upstream.test/v1"


def make_grant(
    *, token_limits: Limits | None = None, project_limits: Limits | None = None, **fields: Any
) -> Grant:
    """A grant that allows everything, but for what is named here."""
    token_id: UUID = fields.pop("token_id", None) or uuid7()
    project_id: UUID = fields.pop("project_id", None) or uuid7()
    subjects = []
    if token_limits is not None:
        subjects.append(Subject(Kind.TOKEN, token_id, token_limits))
    if project_limits is not None:
        subjects.append(Subject(Kind.PROJECT, project_id, project_limits))
    values = {
        "token_id": token_id,
        "project_id": project_id,
        "digest": "0" * 64,
        "token_active": True,
        "token_revoked": False,
        "project_active": True,
        "expires_at": float("inf"),
        "base_url": BASE_URL,
        "upstream_keys": (RingKey(uuid7(), "sk-upstream-very-secret"),),
        "subjects": tuple(subjects),
    }
    return Grant(**(values | fields))

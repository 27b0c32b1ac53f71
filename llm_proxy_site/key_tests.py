"""Whether an upstream key works: its upstream is asked for its models, as a request of the project would ask.
The admin's button, the management API and the command tell what `try_key` finds.

Of the answer only the status, a code and the number of models are told: upstream's words may quote the key.
"""

import json
import re
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from audit import trail
from llm_proxy_site.control_room.figures import seconds
from projects.encryption import UndecryptableError
from projects.models import UpstreamKey
from proxy.configuration import configured_providers
from proxy.headers import to_upstream
from tokens.loader import upstream_headers

TIMEOUT_SECONDS = 10
MOST_BYTES = 2 * 1024 * 1024
CODE = re.compile(r"[a-z_]{1,60}")


@dataclass(frozen=True, slots=True)
class KeyTest:
    """`message`: the whole in a few words, fit for a user. None: upstream was not asked, or did not say."""

    works: bool
    message: str
    status: int | None = None
    code: str | None = None
    models: int | None = None
    seconds: float | None = None


def try_key(key: UpstreamKey, *, actor: str) -> KeyTest:
    """What upstream says to the key now. It is audited, and takes as long as upstream does."""
    found = _ask_for_models(key)
    trail.record(
        "upstream_key.tested",
        key,
        actor=actor,
        project_id=key.project_id,
        details={"works": found.works},
    )
    return found


def key_test_facts(key: UpstreamKey, found: KeyTest) -> dict[str, Any]:
    return {
        "upstream_key_id": str(key.id),
        "key": f"…{key.last_four}",
        "project_id": str(key.project_id),
        "project": key.project.name,
        "works": found.works,
        "message": found.message,
        "status": found.status,
        "code": found.code,
        "models": found.models,
        "seconds": None if found.seconds is None else round(found.seconds, 3),
    }


def _ask_for_models(key: UpstreamKey) -> KeyTest:
    import httpx  # late: commands load the URLs, and need not load an HTTP client

    project = key.project
    provider = configured_providers().get(project.provider)
    if provider is None:
        return KeyTest(False, f"the provider {project.provider} is not configured.")
    try:
        headers = to_upstream(
            [(b"accept", b"application/json")], key.reveal(), provider.headers, upstream_headers(project)
        )
    except UndecryptableError:
        return KeyTest(False, "no key in ENCRYPTION_KEYS decrypts it.")
    began = time.monotonic()
    try:
        status, body = _get(f"{project.base_url or provider.base_url}/models", headers)
    except httpx.HTTPError as problem:
        return KeyTest(False, f"upstream did not answer ({type(problem).__name__}).")
    return _judged(status, body, time.monotonic() - began)


def _judged(status: int, body: dict[str, Any], took: float) -> KeyTest:
    told = f"{status} after {seconds(took)}"
    if status != HTTPStatus.OK:
        code = _code(body)
        message = f"upstream answers {told}{f', {code}' if code else ''}."
        return KeyTest(False, message, status, code, seconds=took)
    data = body.get("data")
    models = len(data) if isinstance(data, list) else None
    message = f"{told}." if models is None else f"{told}, {models} models."
    return KeyTest(True, message, status, None, models, took)


def _get(url: str, headers: list[tuple[bytes, bytes]]) -> tuple[int, dict[str, Any]]:
    """The status, and the answer if it is a JSON object of moderate size. Raises httpx.HTTPError."""
    import httpx

    with (
        httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False) as client,
        client.stream("GET", url, headers=headers) as response,
    ):
        text = b""
        for chunk in response.iter_bytes():
            text += chunk
            if len(text) > MOST_BYTES:
                return response.status_code, {}
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    return response.status_code, body if isinstance(body, dict) else {}


def _code(body: dict[str, Any]) -> str | None:
    error = body.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) and CODE.fullmatch(code) else None

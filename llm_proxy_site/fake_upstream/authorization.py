"""Which keys are good: every `sk-...` that does not contain `revoked`, as OpenAI or as Azure wants it, or as
browsers send it when they open a WebSocket.
"""

from aiohttp import web

from .errors import ApiError

_KEY_PROTOCOL = "openai-insecure-api-key."


def key_of(request: web.Request) -> tuple[str, str]:
    """The scheme and the key that the request carries; empty where there is none."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if "Api-Key" in request.headers:
        scheme, key = "bearer", request.headers["Api-Key"]
    for name in request.headers.get("Sec-WebSocket-Protocol", "").split(","):
        if not key and name.strip().startswith(_KEY_PROTOCOL):
            scheme, key = "Bearer", name.strip().removeprefix(_KEY_PROTOCOL)
    return scheme, key


def authorize(request: web.Request) -> None:
    scheme, key = key_of(request)
    if scheme.lower() != "bearer" or not key:
        raise ApiError(
            401,
            "You didn't provide an API key. You need to provide your API key in an Authorization header using"
            " Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
            code="invalid_api_key",
        )
    if not key.startswith("sk-") or "revoked" in key:
        raise ApiError(
            401,
            f"Incorrect API key provided: {_masked(key)}. You can find your API key at"
            " https://platform.openai.com/account/api-keys.",
            code="invalid_api_key",
        )


def _masked(key: str) -> str:
    """As OpenAI does it: an answer that must not reach somebody who is not meant to know the key."""
    return f"{key[:8]}{'*' * max(len(key) - 12, 4)}{key[-4:]}"

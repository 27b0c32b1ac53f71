"""Faults and pace that a client scripts by `x-fake-*` headers or query parameters; the header wins. A key can
have faults too (`PUT /_fake/keys/{key}`, a JSON object of such names and values), which both go before.
"""

import re
from collections import Counter
from typing import Annotated, Literal

import msgspec
from aiohttp import web

from .authorization import key_of
from .errors import ApiError

PREFIX = "x-fake-"
_NAME = re.compile(r"x-fake-[\w-]+")

Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=3_600_000)]
HeaderValue = Annotated[str, msgspec.Meta(pattern="^[ -~]*$")]
Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]


class Faults(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    rename=lambda field: PREFIX + field.replace("_", "-"),
):
    """The script of one request. A stream's chunk is one event; a JSON body is cut into `chunks` pieces."""

    status: Annotated[int, msgspec.Meta(ge=300, le=599)] | None = None
    retry_after: HeaderValue | None = None  # sent as it is, with any status
    code: HeaderValue | None = None  # of the error, such as insufficient_quota
    should_retry: Literal["true", "false"] | None = None  # sent as x-should-retry, with any status
    times: Count | None = None  # for so many requests with this seed; those that follow have no faults
    reset: Literal["1"] | None = None  # in place of an answer
    delay_ms: Milliseconds = 0  # before the response's head
    chunk_delay_ms: Milliseconds = 0  # between chunks
    end_delay_ms: Milliseconds = 0  # between the last chunk and the end
    clock: Literal["1"] | None = None  # a chat stream's words are the instants at which they are sent
    chunks: Count = 8  # words in the answer, if the request permits so many
    ignore_limits: Literal["1"] | None = None  # say them all, whatever the request permits
    cut_after: Count | None = None  # chunks, after which the connection is reset
    end_after: Count | None = None  # chunks, after which the answer ends as if it were whole
    hang: Literal["1", "headers"] | None = None
    encoding: Literal["gzip"] | None = None
    size_bytes: Annotated[int, msgspec.Meta(ge=0, le=1 << 40)] | None = None
    seed: HeaderValue | None = None  # what ids are made of, in place of the body
    work: Literal["zeros", "cancelled"] | None = None  # begins with a usage of zeros; is found cancelled
    # WebSockets: an event is a chunk; `hang` with `headers` reads and says nothing after the handshake.
    echo: Literal["1"] | None = None  # send every message back as it came, and nothing else
    close_code: Annotated[int, msgspec.Meta(ge=1000, le=4999)] | None = None
    close_after: Count = 0  # events, after which it closes with `close_code`
    ping_ms: Annotated[int, msgspec.Meta(ge=10, le=3_600_000)] | None = None  # and hangs up without a pong
    ignore_pings: Literal["1"] | None = None
    vad: Literal["1"] | None = None  # every piece of audio is a sentence, which is answered

    @property
    def affect_body(self) -> bool:
        return bool(
            self.hang
            or self.encoding
            or self.chunk_delay_ms
            or self.end_delay_ms
            or self.cut_after is not None
            or self.end_after is not None
            or self.size_bytes is not None
        )

    def length(self, limit: int | None) -> int:
        """How many words the answer has when the request permits `limit`."""
        return self.chunks if limit is None or self.ignore_limits else min(limit, self.chunks)


UNSCRIPTED = Faults()
KEY_FAULTS = web.AppKey("key_faults", dict[str, dict[str, str]])
SEEN = web.AppKey("seen", Counter[str])
"""Requests that have counted their times, by seed."""


def scripted_faults(request: web.Request) -> Faults:
    """Raise `ApiError` for a bad value, and for a name that does not exist: typos must be loud."""
    script = dict(request.app[KEY_FAULTS].get(key_of(request)[1], {}))
    if PREFIX in request.raw_path.lower():
        script |= {name.lower(): value for name, value in request.query.items()}
    for name, value in request.raw_headers:
        if name[:7].lower() == b"x-fake-":
            script[name.decode("latin-1").lower()] = value.decode("latin-1")
    script = {name: value for name, value in script.items() if name.startswith(PREFIX)}
    if not script:
        return UNSCRIPTED
    try:
        faults = msgspec.convert(script, Faults, strict=False)
    except msgspec.ValidationError as error:
        culprit = _NAME.search(str(error))
        raise ApiError(
            400, f"Invalid fault: {error}", param=culprit[0] if culprit else None, code="invalid_value"
        ) from error
    if faults.times is not None:
        seen = request.app[SEEN]
        seen[faults.seed or ""] += 1
        return faults if seen[faults.seed or ""] <= faults.times else UNSCRIPTED
    return faults


async def set_key_faults(request: web.Request) -> web.Response:
    """Of the key in the path, from now on; an empty object takes them away."""
    request.app[KEY_FAULTS][request.match_info["key"]] = msgspec.json.decode(
        await request.read(), type=dict[str, str]
    )
    return web.Response(status=204)


def scripted_error(status: int, code_told: str | None = None) -> ApiError:
    """OpenAI's type and code for a status, as far as it has them; or this code."""
    if code_told is not None:
        kind = code_told if status == 429 else "invalid_request_error"
        return ApiError(status, f"The fake upstream was told to answer {status}.", type=kind, code=code_told)
    error_type, code = {
        401: ("invalid_request_error", "invalid_api_key"),
        403: ("permission_error", None),
        404: ("invalid_request_error", "model_not_found"),
        429: ("requests", "rate_limit_exceeded"),
    }.get(status, ("invalid_request_error" if status < 500 else "server_error", None))
    return ApiError(status, f"The fake upstream was told to answer {status}.", type=error_type, code=code)

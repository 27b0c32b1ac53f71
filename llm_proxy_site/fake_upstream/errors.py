"""Refusals in OpenAI's words and shape."""

import re

import msgspec

from .answers import Answer

_MISSING_FIELD = re.compile(r"missing required field `(\w+)`")
_FIELD_PATH = re.compile(r"at `\$\.([^`]+)`")


class ApiError(Exception):
    """An answer other than success: OpenAI's error body with this status."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",  # noqa: A002 - OpenAI's name
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": type, "param": param, "code": code}}

    def answer(self) -> Answer:
        # OpenAI indents error bodies and nothing else.
        return Answer(msgspec.json.format(msgspec.json.encode(self.body), indent=2), status=self.status)


def missing_parameter(name: str) -> ApiError:
    if name == "model":
        return ApiError(400, "you must provide a model parameter")
    return ApiError(
        400, f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter"
    )


def undecodable_body(error: Exception) -> ApiError:
    """What OpenAI says of a body that is no JSON, lacks a parameter, or has one of a wrong type."""
    if not isinstance(error, msgspec.ValidationError):
        return ApiError(
            400,
            "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your"
            " HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid"
            " JSON.)",
        )
    path = _FIELD_PATH.search(str(error))
    parents = f"{path[1]}." if path else ""
    if missing := _MISSING_FIELD.search(str(error)):
        return missing_parameter(parents + missing[1])
    name = path[1] if path else None
    return ApiError(400, f"Invalid type for '{name}': {error}", param=name, code="invalid_type")

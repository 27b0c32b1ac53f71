"""The OpenAPI document, with what the routes need not say each for itself: the errors that they have, and the
scope that they need.
"""

from typing import Any

from ninja.openapi.schema import REF_TEMPLATE, OpenAPISchema
from ninja.operation import Operation

from llm_proxy_site.api.authentication import ApiKeyAuth
from llm_proxy_site.api.schemas import Error, Fault

ERRORS = {
    "401": ("Unauthenticated", "No valid API key."),
    "403": ("Forbidden", "The key lacks the scope, or its user the role."),
    "404": ("NotFound", "There is no such thing, or the caller does not see it."),
    "409": ("NotPossible", "It stands against the state that things are in."),
    "422": ("Invalid", "Something in the request is not as it must be; `param` names it."),
    "429": ("TooMany", "Too many requests; `Retry-After` says when to come back."),
    "default": ("Failure", "Any other error."),
}


class Document(OpenAPISchema):
    def responses(self, operation: Operation) -> dict[Any, Any]:
        found: dict[Any, Any] = super().responses(operation)
        for status, (name, _) in ERRORS.items():
            if _can_be(status, operation):
                found[status] = {"$ref": f"#/components/responses/{name}"}
        return found

    def operation_security(self, operation: Operation) -> list[dict[str, Any]] | None:
        super().operation_security(operation)  # which names the scheme
        return [
            {type(auth).__name__: [auth.scope]}
            for auth in operation.auth_callbacks
            if isinstance(auth, ApiKeyAuth)
        ]

    def get_components(self) -> dict[str, Any]:
        for model in (Fault, Error):
            schema = model.model_json_schema(ref_template=REF_TEMPLATE, mode="serialization")
            schema.pop("$defs", None)
            self.schemas[model.__name__] = schema
        self.schemas = dict(sorted(self.schemas.items()))
        content = {"application/json": {"schema": {"$ref": REF_TEMPLATE.format(model="Error")}}}
        responses = {name: {"description": meaning, "content": content} for name, meaning in ERRORS.values()}
        return {**super().get_components(), "responses": responses}


def _can_be(status: str, operation: Operation) -> bool:
    if status == "404":
        return "{" in operation.path or operation.methods == ["POST"]
    return status != "409" or operation.methods != ["GET"]

"""What a ruleset refuses of a request. Pure: facts in, nothing or one ProxyError out.

Every check takes `note`, which is told what a rule in shadow mode would have refused.
"""

from collections.abc import Callable, Iterable, Set
from enum import Enum, auto
from ipaddress import IPv4Address, IPv6Address
from typing import Any
from urllib.parse import parse_qsl, unquote

from projects.ruleset import MODEL_NAMES, Parameter, Ruleset, in_common, path_of
from proxy.document import Document, read_json, values_at
from proxy.endpoints import BODY_METHODS, SOCKET, Endpoint
from proxy.errors import BadRequest, Forbidden, ProxyError, RequestTooLarge
from proxy.parameters import fits
from proxy.types import Headers

Note = Callable[[str], None]
Address = IPv4Address | IPv6Address

NOT_SEEN = "body_not_seen"
"""Noted where rules in shadow mode look into bodies, and could not look into this one."""
_MODEL_PATHS = tuple((name, path_of(name)) for name in MODEL_NAMES)
_MESSAGE_PARTS = ("session", "response")


class Look(Enum):
    """Whether a body has to be looked into."""

    NO = auto()
    SHADOW = auto()
    """For rules in shadow mode only: if that is possible."""
    MUST = auto()


def check_origin(rules: Ruleset, headers: Headers, note: Note) -> None:
    """Raises Forbidden. Requests without an Origin do not come from a browser's page, and pass."""
    if not rules.origins:
        return
    origins = [value for name, value in headers if name == b"origin"]
    for allowed in rules.origins:
        if origins and (len(origins) > 1 or origins[0] not in allowed.origins):
            _refuse(_origin_not_allowed(), note, is_shadow=allowed.is_shadow)


def check_network(rules: Ruleset, address: Address | None, note: Note) -> None:
    """`address`: the client's, or None where it is not known. Raises Forbidden."""
    for allowed in rules.networks:
        if address is None or not any(address in network for network in allowed.networks):
            error = Forbidden(
                "ip_not_allowed", "This access token may not be used from this network address."
            )
            _refuse(error, note, is_shadow=allowed.is_shadow)


def check_request(
    rules: Ruleset,
    endpoint: Endpoint,
    *,
    method: str,
    path: str,
    query: bytes,
    content_length: int | None,
    note: Note,
) -> None:
    """All but the body. Raises Forbidden and RequestTooLarge."""
    for allowed in rules.endpoints:
        if not allowed.allows(endpoint.family, method, endpoint.path):
            _refuse(_endpoint_not_allowed(), note, is_shadow=allowed.is_shadow)
    if rules.models:
        check_models(rules, _models_in_target(endpoint, path, query), note)
        if endpoint.hides_model(method):
            check_unnamed_model(rules, note, "those that this endpoint uses cannot be seen here")
    if content_length is not None:
        check_length(rules, content_length, note)


def check_length(rules: Ruleset, size: int, note: Note) -> None:
    """Of a body, or of a message on a WebSocket. Raises RequestTooLarge."""
    for bound in rules.bodies:
        if size > bound.max_bytes:
            _refuse(too_large(bound.max_bytes), note, is_shadow=bound.is_shadow)


def check_models(rules: Ruleset, models: Iterable[str], note: Note, param: str = "model") -> None:
    """Raises Forbidden."""
    for model in models:
        for allowed in rules.models:
            if not allowed.allows(model):
                error = _model_not_allowed("This access token may not use this model.", param)
                _refuse(error, note, is_shadow=allowed.is_shadow)


def check_unnamed_model(rules: Ruleset, note: Note, why: str = "this request names none") -> None:
    """Of what costs and leaves the model to upstream. Raises Forbidden."""
    message = f"This access token may use certain models only, and {why}."
    for allowed in rules.models:
        _refuse(_model_not_allowed(message, "model"), note, is_shadow=allowed.is_shadow)


def look_into(rules: Ruleset, endpoint: Endpoint, method: str, *, is_form: bool) -> Look:
    """Whether the rules depend on what is in the body of such a request."""
    if rules.names is None or method not in BODY_METHODS:
        return Look.NO
    # Forms that are files stream, unless a rule is meant for them.
    sees_all = endpoint.may_cost(method) or not (is_form and endpoint.takes_files)
    sees_models = sees_all and not endpoint.hides_model(method)  # else they are judged before
    shadows = [allowed.is_shadow for allowed in rules.models if sees_models]
    shadows += [
        parameter.is_shadow
        for parameter in rules.parameters
        if _holds(parameter, endpoint, method) and (sees_all or parameter.endpoints is not None)
    ]
    return _look(shadows)


def look_into_messages(rules: Ruleset, endpoint: Endpoint) -> Look:
    """As `look_into`, of what a client sends on a WebSocket."""
    shadows = [allowed.is_shadow for allowed in rules.models]
    return _look(shadows + [parameter.is_shadow for parameter in _of_messages(rules, endpoint)])


def _look(shadows: list[bool]) -> Look:
    if not shadows:
        return Look.NO
    return Look.SHADOW if all(shadows) else Look.MUST


def check_body(rules: Ruleset, endpoint: Endpoint, method: str, document: Document, note: Note) -> None:
    """Models and parameters in a body: `document` says at least what `rules.names` name.

    Raises Forbidden, and BadRequest for a model that is no text.
    """
    if rules.names is None or method not in BODY_METHODS:
        return
    if rules.models:
        _check_models_in(rules, document, note)
        is_asked = endpoint.may_cost(method) and endpoint.model == "named"
        if is_asked and not values_at(document.values, ("model",)):
            check_unnamed_model(rules, note)
    for parameter in rules.parameters:
        if _holds(parameter, endpoint, method):
            is_asked = endpoint.may_cost(method) or parameter.endpoints is not None
            _check_parameter(parameter, document, note, may_be_absent=not is_asked)


def read_message(rules: Ruleset, text: bytes) -> dict[str, Any]:
    """A client's message on a WebSocket, as far as `check_message` looks into it. Raises BadRequest."""
    names = rules.names or {}
    return read_json(text, {**names, **dict.fromkeys(_MESSAGE_PARTS, names), "type": {}})


def check_message(rules: Ruleset, endpoint: Endpoint, message: dict[str, Any], note: Note) -> None:
    """Models and parameters that a message on a WebSocket names, itself or in its session or response.

    A message may say nothing of them: the session has its model from the handshake, where `check_request`
    has seen it. Raises ProxyError.
    """
    for values in (message, *(message.get(part) for part in _MESSAGE_PARTS)):
        if isinstance(values, dict):
            document = Document(values)
            if rules.models:
                _check_models_in(rules, document, note)
            for parameter in _of_messages(rules, endpoint):
                _check_parameter(parameter, document, note, may_be_absent=True)


def stated_in(rules: Ruleset, endpoint: Endpoint, said: Any) -> frozenset[str]:
    """The parameters that stand in what a turn says of itself, where this endpoint reads it."""
    return frozenset(
        parameter.name
        for parameter in _of_messages(rules, endpoint)
        if isinstance(said, dict) and values_at(said, parameter.path)
    )


def check_turn(
    rules: Ruleset, endpoint: Endpoint, stated: Set[str], session: Any, first_session: Any, note: Note
) -> None:
    """What a turn does not state itself, its session must have as the rules say. What the session has had
    from the first is as if it were not there, but for what is required. One that is no object is not known.

    Raises Forbidden.
    """
    for parameter in _of_messages(rules, endpoint):
        if parameter.name in stated:
            continue
        if not isinstance(session, dict):
            _refuse(_param_not_allowed(parameter.name), note, is_shadow=parameter.is_shadow)
        elif parameter.rule.required or (
            values_at(session, parameter.path) != values_at(first_session, parameter.path)
        ):
            _check_parameter(parameter, Document(session), note, may_be_absent=False)


def body_bound(rules: Ruleset) -> int | None:
    """How many bytes a body may have whose length was not declared; None: as many as any."""
    return min((bound.max_bytes for bound in rules.bodies if not bound.is_shadow), default=None)


def note_length(rules: Ruleset, body_bytes: int, note: Note) -> None:
    """Of a body whose length was not declared, for the rules in shadow mode, once it is known."""
    for bound in rules.bodies:
        if bound.is_shadow and body_bytes > bound.max_bytes:
            note(RequestTooLarge.code)


def too_large(max_bytes: int) -> RequestTooLarge:
    return RequestTooLarge(f"The rules of this access token allow a body of at most {max_bytes} bytes.")


def allowed_models(rules: Ruleset | None) -> list[str] | None:
    """For people: the globs of what may be used; None: everything."""
    enforced = [allowed.globs for allowed in rules.models if not allowed.is_shadow] if rules else []
    if not enforced:
        return None
    return in_common(*enforced) if len(enforced) == 2 else list(enforced[0])


def allows_endpoint(rules: Ruleset | None, endpoint: Endpoint, method: str) -> bool:
    if rules is None:
        return True
    if endpoint.hides_model(method) and not all(allowed.is_shadow for allowed in rules.models):
        return False
    return all(
        allowed.is_shadow or allowed.allows(endpoint.family, method, endpoint.path)
        for allowed in rules.endpoints
    )


def _check_models_in(rules: Ruleset, document: Document, note: Note) -> None:
    for name, path in _MODEL_PATHS:
        models = values_at(document.values, path)
        if all(isinstance(model, str) for model in models):
            check_models(rules, models, note, param=name)
        else:
            is_shadow = all(allowed.is_shadow for allowed in rules.models)
            _refuse(BadRequest("A model is named by a text.", param=name), note, is_shadow=is_shadow)


def _check_parameter(parameter: Parameter, document: Document, note: Note, *, may_be_absent: bool) -> None:
    if not fits(parameter, document, may_be_absent=may_be_absent):
        _refuse(_param_not_allowed(parameter.name), note, is_shadow=parameter.is_shadow)


def _models_in_target(endpoint: Endpoint, path: str, query: bytes) -> list[str]:
    """Those that the path and the query name, however they are spelt."""
    is_models = endpoint.path.startswith("/models/{")
    models = [
        unquote(segment, errors="replace")
        for template, segment in zip(endpoint.path.split("/"), path.split("/"), strict=False)
        if template == "{model}" or (is_models and template.startswith("{"))
    ]
    if query:
        pairs = parse_qsl(query.decode("latin-1").replace(";", "&"), keep_blank_values=True)
        models += [value for name, value in pairs if name.strip().casefold() in ("model", "model[]")]
    return models


def _holds(parameter: Parameter, endpoint: Endpoint, method: str) -> bool:
    return parameter.endpoints is None or parameter.endpoints.allows(endpoint.family, method, endpoint.path)


def _of_messages(rules: Ruleset, endpoint: Endpoint) -> list[Parameter]:
    """Those that hold for what a client sends on a WebSocket."""
    return [
        parameter
        for parameter in rules.parameters
        if _holds(parameter, endpoint, SOCKET) or _holds(parameter, endpoint, "POST")
    ]


def _refuse(error: ProxyError, note: Note, *, is_shadow: bool) -> None:
    if not is_shadow:
        raise error
    note(f"{error.code}:{error.param}" if error.param and error.param != "model" else error.code)


def _origin_not_allowed() -> Forbidden:
    return Forbidden("origin_not_allowed", "Pages of this origin may not use this access token.")


def _endpoint_not_allowed() -> Forbidden:
    return Forbidden("endpoint_not_allowed", "This access token may not be used for this endpoint.")


def _param_not_allowed(name: str) -> Forbidden:
    error = Forbidden("param_not_allowed", f"The rules of this access token do not allow this `{name}`.")
    error.param = name
    return error


def _model_not_allowed(message: str, param: str) -> Forbidden:
    error = Forbidden("model_not_allowed", message)
    error.param = param
    return error

"""What rules say of a model that a WebSocket's event chooses: the one place where they are asked."""

from proxy.errors import ProxyError
from tokens.grant import Grant


def check_model(grant: Grant, model: str) -> ProxyError | None:
    """Why this grant may not use this model; None: it may. No rules of models exist yet: every grant may."""
    return None

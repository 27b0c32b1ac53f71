"""Which application answers: the data plane under /v1, /token and /metrics, Django everywhere else."""

from typing import Any

from channels.routing import ProtocolTypeRouter

from proxy import holder, preflights, token_exchange
from proxy.client import Client
from proxy.cors import is_preflight
from proxy.errors import RequestTooLarge
from proxy.metrics import endpoint as metrics
from proxy.types import ASGIApplication, Message, Receive, Scope, Send
from proxy.views import forward
from proxy.websockets import view

MAX_FORM_BYTES = 4 * 1024 * 1024
"""Django keeps a whole body, in memory or on disk, before it asks who sent it."""


def beside(control_plane: Any, control_sockets: ASGIApplication = view.refuse) -> ASGIApplication:
    """The whole application: the data plane mounted beside Django's handler, and beside the WebSockets of
    the control plane.
    """

    async def http(scope: Scope, receive: Receive, send: Send) -> None:
        # A prefix and not Channels' URLRouter: that tries patterns and copies the scope for each request.
        path = scope["path"]
        if path.startswith("/v1/") or path == "/v1":
            view = forward
        elif path == token_exchange.PATH:
            view = token_exchange.answer
        elif path == "/token" or path.startswith("/token/"):
            view = holder.answer
        elif path == metrics.PATH and metrics.may_read(scope):
            view = metrics.answer
        elif _is_meant_for_us(path):
            view = forward  # which refuses it
        else:
            await control_plane(scope, _bounded(receive, send), send)
            return
        if scope["method"] == "OPTIONS" and is_preflight(scope):
            view = preflights.answer
        await view(scope, receive, send)

    async def websocket(scope: Scope, receive: Receive, send: Send) -> None:
        serve = view.connect if scope["path"].startswith("/v1/") else control_sockets
        await serve(scope, receive, send)

    application: ASGIApplication = ProtocolTypeRouter({"http": http, "websocket": websocket})
    return application


def _is_meant_for_us(path: str) -> bool:
    """A slip in a client's base URL, such as `https://host//v1`."""
    return path.lstrip("/").partition("/")[0] in ("v1", "V1")


def _bounded(receive: Receive, send: Send) -> Receive:
    """A body of more than MAX_FORM_BYTES is refused; to the application its sender has gone."""
    received = 0

    async def bounded() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received <= MAX_FORM_BYTES:
            return message
        await Client(receive, send, max_body_bytes=MAX_FORM_BYTES).refuse(RequestTooLarge())
        return {"type": "http.disconnect"}

    return bounded

"""Which application answers: the data plane under /v1 and /token, Django everywhere else."""

from typing import Any

from channels.routing import ProtocolTypeRouter

from proxy import holder
from proxy.client import Client
from proxy.errors import RequestTooLarge
from proxy.types import ASGIApplication, Message, Receive, Scope, Send
from proxy.views import forward
from proxy.websockets import view

MAX_FORM_BYTES = 4 * 1024 * 1024
"""Django keeps a whole body, in memory or on disk, before it asks who sent it."""


def beside(control_plane: Any) -> ASGIApplication:
    """The whole application: the data plane mounted beside Django's handler."""

    async def http(scope: Scope, receive: Receive, send: Send) -> None:
        # A prefix and not Channels' URLRouter: that tries patterns and copies the scope for each request.
        path = scope["path"]
        if path.startswith("/v1/") or path == "/v1":
            await forward(scope, receive, send)
        elif path == "/token" or path.startswith("/token/"):
            await holder.answer(scope, receive, send)
        else:
            await control_plane(scope, _bounded(receive, send), send)

    application: ASGIApplication = ProtocolTypeRouter({"http": http, "websocket": _websocket})
    return application


async def _websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """The control plane has none."""
    serve = view.connect if scope["path"].startswith("/v1/") else view.refuse
    await serve(scope, receive, send)


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

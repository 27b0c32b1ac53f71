"""Which application answers: the data plane under /v1, Django everywhere else."""

from typing import Any

from channels.routing import ProtocolTypeRouter

from proxy.types import ASGIApplication, Receive, Scope, Send
from proxy.views import forward


def beside(control_plane: Any) -> ASGIApplication:
    """The whole application: the data plane mounted beside Django's handler."""

    async def http(scope: Scope, receive: Receive, send: Send) -> None:
        # A prefix and not Channels' URLRouter: that tries patterns and copies the scope for each request.
        path = scope["path"]
        plane = forward if path.startswith("/v1/") or path == "/v1" else control_plane
        await plane(scope, receive, send)

    application: ASGIApplication = ProtocolTypeRouter({"http": http, "websocket": refuse_websocket})
    return application


async def refuse_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """No WebSocket is served yet: closing before accepting answers the handshake with 403."""
    await receive()
    await send({"type": "websocket.close"})

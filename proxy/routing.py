"""Which application answers: the data plane under /v1, Django everywhere else."""

from typing import Any

from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import URLPattern, re_path

from proxy.types import ASGIApplication, Receive, Scope, Send
from proxy.views import forward


def beside(control_plane: Any) -> ASGIApplication:
    """The whole application: the data plane mounted beside Django's handler."""
    application: ASGIApplication = ProtocolTypeRouter(
        {
            "http": URLRouter([_route(r"^v1(?:/|$)", forward), _route(r"", control_plane)]),
            "websocket": refuse_websocket,
        }
    )
    return application


def _route(pattern: str, application: Any) -> URLPattern:
    # Channels takes ASGI applications where Django's types speak of views.
    route: URLPattern = re_path(pattern, application)
    return route


async def refuse_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """No WebSocket is served yet: closing before accepting answers the handshake with 403."""
    await receive()
    await send({"type": "websocket.close"})

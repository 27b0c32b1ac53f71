"""The WebSockets of the control plane, by path."""

from llm_proxy_site.live.feed_socket import serve
from proxy.types import Receive, Scope, Send
from proxy.websockets import view

PATH = "/admin/live/ws"


async def control_sockets(scope: Scope, receive: Receive, send: Send) -> None:
    answer = serve if scope["path"] == PATH else view.refuse
    await answer(scope, receive, send)

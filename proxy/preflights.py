"""Answers what a browser asks before its page's request: whether the page's origin may send it."""

from proxy.cors import answer_preflight
from proxy.headers import first
from proxy.holder import METHODS
from proxy.request import PREFIX
from proxy.runtime import Runtime
from proxy.types import Receive, Scope, Send


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    runtime = Runtime.current()
    is_allowed = await runtime.origins.allow(first(scope["headers"], b"origin") or b"")
    await answer_preflight(scope, receive, send, methods=_methods(runtime, scope), is_allowed=is_allowed)


def _methods(runtime: Runtime, scope: Scope) -> tuple[str, ...] | None:
    """None: there is no such endpoint."""
    raw_path: bytes = scope["raw_path"]
    if not raw_path.startswith(PREFIX + b"/"):
        return METHODS.get(scope["path"])
    return runtime.providers.methods_of(raw_path[len(PREFIX) :].decode("latin-1")) or None

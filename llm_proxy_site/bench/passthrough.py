"""`python -m llm_proxy_site.bench.passthrough --upstream URL --bind 127.0.0.1:0`: the least a proxy can do.

The proxy's own server and transport, and nothing between them but a change of the key: what the proxy costs
beyond this is what it does for its keep. Serves until SIGTERM or SIGINT.
"""

import argparse
import sys
from typing import cast

import httpx

from llm_proxy_site.addresses import Address, parse_address
from llm_proxy_site.bench import UPSTREAM_KEY
from llm_proxy_site.bench.room import MAX_CONNECTIONS
from llm_proxy_site.server.choice import DAPHNE, SERVERS, server_on
from llm_proxy_site.server.client_limits import ClientLimits
from llm_proxy_site.server.service import Duties
from proxy.headers import HOP_BY_HOP
from proxy.transport import AiohttpTransport
from proxy.types import Headers, Receive, Scope, Send

# As in the proxy's default settings.
TIMEOUT = {"connect": 10.0, "read": 600.0}

_REPLACED = frozenset({b"authorization", b"host"})
_AUTHORIZATION = (b"authorization", b"Bearer " + UPSTREAM_KEY.encode())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m llm_proxy_site.bench.passthrough", description=__doc__)
    parser.add_argument("--upstream", type=httpx.URL, required=True, metavar="URL")
    parser.add_argument("--bind", type=parse_address, default="127.0.0.1:0", metavar="HOST:PORT")
    parser.add_argument("--server", choices=SERVERS, default=DAPHNE)
    options = parser.parse_args()
    application = PassThrough(options.upstream)
    limits = ClientLimits(max_connections=MAX_CONNECTIONS, max_connections_per_address=0)
    duties = Duties(on_ready=_announce, on_stop=application.transport.aclose, client_limits=limits)
    server = server_on(options.bind, options.server, application, duties)
    server.run()
    if server.failure:
        sys.exit(f"Cannot listen on {options.bind}: {server.failure}")


class PassThrough:
    """An ASGI application: every HTTP request goes to upstream's host, path and query unchanged."""

    def __init__(self, upstream: httpx.URL) -> None:
        self.transport = AiohttpTransport(max_connections=MAX_CONNECTIONS)
        self._upstream = upstream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = self._request(scope, await _read(receive))
        response = await self.transport.handle_async_request(request)
        try:
            await _answer(response, send)
        finally:
            await response.aclose()

    def _request(self, scope: Scope, body: bytes) -> httpx.Request:
        query = scope["query_string"]
        return httpx.Request(
            scope["method"],
            self._upstream,
            headers=[*_without(_REPLACED | HOP_BY_HOP, scope["headers"]), _AUTHORIZATION],
            content=body,
            extensions={"target": scope["raw_path"] + (b"?" + query if query else b""), "timeout": TIMEOUT},
        )


async def _read(receive: Receive) -> bytes:
    chunks = []
    more = True
    while more:
        message = await receive()
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(chunks)


async def _answer(response: httpx.Response, send: Send) -> None:
    headers = _without(HOP_BY_HOP, response.headers.raw)
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    async for chunk in cast(httpx.AsyncByteStream, response.stream):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _without(names: frozenset[bytes], headers: Headers) -> Headers:
    return [(name, value) for name, value in headers if name.lower() not in names]


def _announce(host: str, port: int) -> None:
    sys.stdout.write(f"Pass-through on http://{Address(host, port)}/v1\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

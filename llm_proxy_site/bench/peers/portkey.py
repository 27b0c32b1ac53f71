"""Portkey's open gateway, which has no keys of its own: clients send upstream's, and where it is."""

import json
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from llm_proxy_site.bench import UPSTREAM_KEY
from llm_proxy_site.bench.peers.program import Program, free_port, output_of, serving
from llm_proxy_site.bench.targets import Server, Target

NAME = "portkey"
_GATEWAY = Path(__file__).parent / "node_modules" / "@portkey-ai" / "gateway"
_SCRIPTED = "x-fake-chunks,x-fake-chunk-delay-ms,x-fake-clock"


def version() -> str | None:
    node = output_of("node", "--version")
    if node is None or not _GATEWAY.is_dir():
        return None
    package = json.loads((_GATEWAY / "package.json").read_text())
    return f"{package['version']} (Node.js {node})"


def server(upstream: Target, folder: Path) -> Server:
    return Server(NAME, partial(_start, upstream, folder))


def _start(upstream: Target, folder: Path) -> AbstractContextManager[list[Target]]:
    """Headless and in production it keeps no log for its console."""
    port = free_port()
    command = ("node", str(_GATEWAY / "build" / "start-server.js"), f"--port={port}", "--headless")
    headers = {
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": upstream.base_url,
        "x-portkey-forward-headers": _SCRIPTED,
    }
    target = Target(NAME, f"http://127.0.0.1:{port}/v1", UPSTREAM_KEY, 0, headers)
    return serving(Program(command, folder, {"NODE_ENV": "production"}), target)

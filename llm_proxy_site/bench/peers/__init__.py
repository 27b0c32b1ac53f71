"""Gateways of others, measured beside ours where they are installed: one process each, before the same
upstream, and what they have of logs, databases, callbacks and caches switched off.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_proxy_site.bench.peers import litellm, nginx, portkey
from llm_proxy_site.bench.targets import Server, Target


@dataclass(frozen=True, slots=True)
class Peer:
    name: str
    version: Callable[[], str | None]
    """None: it is not installed here."""
    server: Callable[[Target, Path], Server]
    """Before this upstream, with its files in this folder."""
    how_to_install: str


PEERS = {
    peer.name: peer
    for peer in (
        Peer("litellm", litellm.version, litellm.server, "`make peers`"),
        Peer("portkey", portkey.version, portkey.server, "`make peers`, with npm"),
        Peer("nginx", nginx.version, nginx.server, "nginx from the operating system's packages"),
    )
}


def installed(names: Sequence[str]) -> dict[str, str]:
    """The versions of those that are."""
    versions = {name: PEERS[name].version() for name in names}
    return {name: version for name, version in versions.items() if version is not None}

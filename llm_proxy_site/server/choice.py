"""Which server answers: Daphne, or one that is faster and an extra. They behave alike."""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from llm_proxy_site.addresses import Address

if TYPE_CHECKING:  # commands ask which servers there are, and need none
    from llm_proxy_site.server.service import Duties, Service

DAPHNE, UVICORN = "daphne", "uvicorn"
SERVERS = (DAPHNE, UVICORN)
NEEDED = ("uvicorn", "httptools", "uvloop", "websockets")
"""Modules without which uvicorn does not serve here."""


def missing_modules(name: str) -> list[str]:
    """What this server lacks to run."""
    return [module for module in NEEDED if find_spec(module) is None] if name == UVICORN else []


def server_on(bind: Address, name: str, application: Any, duties: "Duties") -> "Service":
    """The server of this name, which does not listen yet."""
    if name == UVICORN:
        from llm_proxy_site.server.uvicorn.server import ProxyServer

        return ProxyServer(application, duties, bind)
    return _daphne_on(bind, application, duties)


def _daphne_on(bind: Address, application: Any, duties: "Duties") -> "Service":
    from daphne.endpoints import build_endpoint_description_strings

    from llm_proxy_site.server.daphne.server import ProxyServer

    return ProxyServer(
        application,
        duties,
        endpoints=build_endpoint_description_strings(host=bind.host, port=bind.port),
    )

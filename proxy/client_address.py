"""Where a client is: the address of its connection, or what the trusted proxies in front of us say of it."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from proxy.types import Headers, Scope

Address = IPv4Address | IPv6Address


def client_address(scope: Scope, *, trusted_proxies: int) -> Address | None:
    """The client's address; None where it cannot be known.

    Behind n trusted proxies it is the n-th from the right in X-Forwarded-For: each of them adds the address
    of its own client, and what stands further left is whatever the client likes.
    """
    if not trusted_proxies:
        client = scope.get("client")
        return read_address(client[0].partition("%")[0]) if client else None
    entries = _forwarded_for(scope["headers"])
    return read_address(_without_port(entries[-trusted_proxies])) if len(entries) >= trusted_proxies else None


@lru_cache(maxsize=4096)
def read_address(text: str) -> Address | None:
    """An IPv4 address that is written as IPv6 is the IPv4 address. None: it is no address."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return None if address.scope_id else address.ipv4_mapped or address
    return address


def _forwarded_for(headers: Headers) -> list[str]:
    values = [value for name, value in headers if name == b"x-forwarded-for"]
    return [entry.strip() for entry in b",".join(values).decode("latin-1").split(",")] if values else []


def _without_port(entry: str) -> str:
    """Some proxies write `192.0.2.1:5000` and `[2001:db8::1]:5000`."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry


@lru_cache(maxsize=4096)
def network_of(host: str) -> str:
    """What stands for one client: its address, or its /64 where that is IPv6; the text, if it is neither."""
    address = read_address(host.partition("%")[0])
    if address is None:
        return host
    return str(ip_network((address, 64), strict=False)) if isinstance(address, IPv6Address) else str(address)

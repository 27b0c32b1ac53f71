"""Which headers pass, both ways. Pure. What is not named here passes as it is."""

from collections.abc import Iterable
from dataclasses import dataclass

from proxy.types import Headers

# RFC 9110 section 7.6.1, and what older software sends: they speak of one connection, never of the message.
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)

# By which fronts, gateways and content delivery networks tell where a client sits.
_CLIENT_ADDRESS = {
    b"ali-cdn-real-ip",
    b"client-ip",
    b"do-connecting-ip",
    b"fastly-client-ip",
    b"fly-client-ip",
    b"forwarded",
    b"forwarded-for",
    b"incap-client-ip",
    b"proxy-client-ip",
    b"remote-addr",
    b"true-client-ip",
    b"via",
    b"wl-proxy-client-ip",
    b"x-azure-clientip",
    b"x-azure-socketip",
    b"x-client-ip",
    b"x-cluster-client-ip",
    b"x-envoy-external-address",
    b"x-forwarded",
    b"x-nf-client-connection-ip",
    b"x-original-forwarded-for",
    b"x-originating-ip",
    b"x-real-ip",
    b"x-remote-addr",
    b"x-remote-ip",
    b"x-sucuri-clientip",
}
_CLIENT_ADDRESS_PREFIXES = (b"x-forwarded-", b"cf-", b"cloudfront-viewer-", b"x-appengine-", b"x-vercel-")

# The client's own: who it is, who should pay. None of upstream's business, or not its choice.
_NOT_TO_UPSTREAM = (
    HOP_BY_HOP
    | _CLIENT_ADDRESS
    | {
        b"accept-encoding",  # rewritten below
        b"api-key",
        b"authorization",  # replaced by the upstream key
        b"cookie",
        b"expect",  # answered by our server
        b"host",  # upstream's, set by the transport
        b"openai-organization",
        b"openai-project",
        b"origin",
        b"referer",
        b"x-api-key",
        # Some servers take these for the method or the path, which we have checked.
        b"x-http-method",
        b"x-http-method-override",
        b"x-method-override",
        b"x-original-url",
        b"x-rewrite-url",
    }
)

# Upstream's word about its own origin: here they would act on this proxy's host, admin site included.
_NOT_TO_CLIENT = HOP_BY_HOP | {
    b"alt-svc",
    b"clear-site-data",
    b"set-cookie",
    b"strict-transport-security",
}
_OURS = b"x-llm-proxy-"
_NOT_TO_UPSTREAM_PREFIXES = (_OURS, *_CLIENT_ADDRESS_PREFIXES)
_OF_THE_CONTENT = b"content-"
FORM = b"multipart/form-data"


@dataclass(frozen=True, slots=True)
class UpstreamHeaders:
    """What one upstream wants to be otherwise; see `upstream_headers`."""

    dropped: frozenset[bytes]
    """Of the client's: all that do not pass, by exact name."""
    key_name: bytes
    key_prefix: bytes
    added: tuple[tuple[bytes, bytes], ...]


def upstream_headers(
    *,
    key_name: str = "authorization",
    key_scheme: str = "Bearer",
    dropped: Iterable[str] = (),
    added: Iterable[tuple[str, str]] = (),
) -> UpstreamHeaders:
    """Names in lower case. What is added takes the place of the client's."""
    pairs = tuple((name.encode(), value.encode()) for name, value in added)
    more = {key_name.encode(), *(name.encode() for name in dropped), *(name for name, _ in pairs)}
    return UpstreamHeaders(
        dropped=_NOT_TO_UPSTREAM | more,
        key_name=key_name.encode(),
        key_prefix=f"{key_scheme} ".encode() if key_scheme else b"",
        added=pairs,
    )


OPENAI = upstream_headers()


def to_upstream(
    headers: Iterable[tuple[bytes, bytes]],
    upstream_key: str,
    rules: UpstreamHeaders = OPENAI,
    projects: tuple[tuple[bytes, bytes], ...] = (),
) -> Headers:
    """The client's headers (lower-case names) as upstream gets them. `projects`: those that the project sets,
    which go before those of its provider.
    """
    headers = list(headers)
    dropped = _with_named_by_connection(rules.dropped, headers)
    kept = [
        header
        for header in headers
        if header[0] not in dropped and not header[0].startswith(_NOT_TO_UPSTREAM_PREFIXES)
    ]
    kept.append((rules.key_name, rules.key_prefix + upstream_key.encode()))
    kept.append((b"accept-encoding", _readable_encoding(headers)))
    if projects:
        names = {name for name, _ in projects}
        kept += projects
        kept += [header for header in rules.added if header[0] not in names]
    else:
        kept += rules.added
    return kept


def to_client(headers: Iterable[tuple[bytes, bytes]], request_id: str) -> Headers:
    """Upstream's headers as the client gets them, names in lower case."""
    lowered = [(name.lower(), value) for name, value in headers]
    dropped = _with_named_by_connection(_NOT_TO_CLIENT, lowered)
    kept = [header for header in lowered if header[0] not in dropped and not header[0].startswith(_OURS)]
    kept.append((b"x-llm-proxy-request-id", request_id.encode()))
    return kept


def first(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The value of the first header with this lower-case name."""
    for header_name, value in headers:
        if header_name == name:
            return value
    return None


def media_type(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The content type without its parameters, in lower case; empty if there is none."""
    return (first(headers, b"content-type") or b"").split(b";", 1)[0].strip().lower()


def is_form(headers: Headers) -> bool:
    """Whether every reader takes the body for a form: it has this content type, and no other beside it."""
    types = [value for name, value in headers if name == b"content-type"]
    return len(types) == 1 and b"," not in types[0] and media_type(headers) == FORM


def is_encoded(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a body under these headers is compressed, so that it does not say what its bytes say."""
    codings = [value for name, value in headers if name == b"content-encoding"]
    return any(coding.strip().lower() != b"identity" for coding in codings)


def _with_named_by_connection(names: frozenset[bytes], headers: Headers) -> frozenset[bytes]:
    """What says how a body is read is for all its readers, and never a connection's (RFC 9110, 7.6.1)."""
    values = [value for name, value in headers if name == b"connection"]
    if not values:
        return names
    named = {name.strip().lower() for value in values for name in value.split(b",")}
    return names | {name for name in named if not name.startswith(_OF_THE_CONTENT)}


def _readable_encoding(headers: Headers) -> bytes:
    """gzip if the client takes it, else none: what passes must be readable by the meter."""
    offers = b",".join(value for name, value in headers if name == b"accept-encoding").lower()
    for offer in offers.split(b","):
        coding, _, quality = offer.partition(b";")
        if coding.strip() == b"gzip" and quality.replace(b" ", b"") not in (
            b"q=0",
            b"q=0.0",
            b"q=0.00",
            b"q=0.000",
        ):
            return b"gzip"
    return b"identity"

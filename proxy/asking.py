"""Asks upstream for a stream's usage where the client did not, and makes the client not notice."""

from dataclasses import replace

from proxy.endpoints import Endpoint
from proxy.facts import Facts
from proxy.headers import is_encoded, media_type
from proxy.metering.splice import asking_for_usage
from proxy.metering.traces import TraceRemover
from proxy.request import ProxyRequest, StreamedBody
from proxy.types import Headers

_SPEAK_OF_THE_BODY = frozenset(
    {
        b"content-digest",
        b"content-encoding",
        b"content-md5",
        b"digest",
        b"repr-digest",
        b"signature",
        b"signature-input",
    }
)
"""Headers that would be wrong of another body, or say that it is not plain JSON."""


def ask_for_usage(
    request: ProxyRequest, endpoint: Endpoint, facts: Facts, body: bytes | StreamedBody
) -> tuple[ProxyRequest, bytes] | None:
    """The request and its body with the question in it; None where it is not asked.

    Its answer must be readable: it is asked for without an encoding.
    """
    if not (facts.is_stream and isinstance(body, bytes) and can_be_asked(request, endpoint)):
        return None
    asking = asking_for_usage(body)
    if asking is None:
        return None
    length = b"%d" % len(asking)
    headers = [
        (name, length if name == b"content-length" else value)
        for name, value in request.headers
        if name != b"accept-encoding"
    ]
    return replace(request, headers=headers, content_length=len(asking)), asking


def can_be_asked(request: ProxyRequest, endpoint: Endpoint) -> bool:
    """Whether upstream can be asked, as far as it is known without the body."""
    return (
        endpoint.asks_usage
        and media_type(request.headers) == b"application/json"
        and _SPEAK_OF_THE_BODY.isdisjoint([name for name, _ in request.headers])
    )


def traces_of_asking(status: int, headers: Headers) -> tuple[TraceRemover | None, Headers]:
    """What removes the traces from an answer with these headers, and the headers that the client then gets.

    None: there are none, or they cannot be seen.
    """
    if status != 200 or media_type(headers) != b"text/event-stream":
        return None, headers
    if is_encoded(headers):
        return None, headers
    return TraceRemover(), [header for header in headers if header[0] != b"content-length"]

"""Asks the proxy, and gives an answer piece by piece as it comes."""

from collections.abc import Iterator
from typing import Any

import httpx
import msgspec

from llm_proxy_site.chat.session import Message
from proxy.metering.event_stream import EventStreamDecoder
from proxy.metering.usage import Usage, read_usage

CONNECT_SECONDS = 10.0
SILENT_SECONDS = 600.0


class ChatError(Exception):
    """The question was not answered, or not to its end; the message is fit for a user."""


class Answer:
    """Of one question. `usage` is there when all pieces have come, where upstream tells it."""

    def __init__(self, client: httpx.Client, model: str, messages: list[Message]) -> None:
        self.usage: Usage | None = None
        self._client = client
        self._body = {
            "model": model,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
        }

    def pieces(self) -> Iterator[str]:
        """Raises ChatError."""
        try:
            with self._client.stream("POST", "chat/completions", json=self._body) as response:
                if response.is_error:
                    raise ChatError(
                        _error_in(response.read()) or f"The proxy answers {response.status_code}."
                    )
                yield from self._read(response)
        except httpx.HTTPError as problem:
            raise ChatError(f"The proxy cannot be reached, or broke off: {problem}") from None

    def _read(self, response: httpx.Response) -> Iterator[str]:
        decoder = EventStreamDecoder()
        for chunk in response.iter_bytes():
            for data in decoder.feed(chunk):
                if isinstance(data, bytes) and data != b"[DONE]":
                    yield from self._take(data)

    def _take(self, data: bytes) -> Iterator[str]:
        problem = _error_in(data)
        if problem:
            raise ChatError(problem)
        self.usage = read_usage(data) or self.usage
        content = _content_of(data)
        if content:
            yield content


def open_client(base_url: str, token: str) -> httpx.Client:
    return httpx.Client(
        base_url=base_url,
        headers={"authorization": f"Bearer {token}", "user-agent": "llm-proxy-chat"},
        timeout=httpx.Timeout(SILENT_SECONDS, connect=CONNECT_SECONDS),
        trust_env=False,
    )


def _content_of(data: bytes) -> str:
    match _json(data):
        case {"choices": [{"delta": {"content": str(content)}}, *_]}:
            return content
    return ""


def _error_in(data: bytes) -> str:
    match _json(data):
        case {"error": {"message": str(message)}}:
            return message
    return ""


def _json(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return None

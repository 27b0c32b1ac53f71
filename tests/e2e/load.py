"""Clients that ask without a pause, each in its own way, and remember what they saw end."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import aiohttp

CHAT = {"model": "gpt-4o", "max_tokens": 20, "messages": [{"role": "user", "content": "Hi"}]}
BROKEN = (aiohttp.ClientError, ConnectionError, TimeoutError)


@dataclass
class Seen:
    """By all clients."""

    ids: list[str] = field(default_factory=list)
    """Of the requests whose end was seen."""
    statuses: Counter[int] = field(default_factory=Counter)
    turns: Counter[str] = field(default_factory=Counter)
    """That were seen to end, by the connection's id at upstream."""
    slowest_seconds: float = 0.0
    broken: int = 0

    def note(self, answer: aiohttp.ClientResponse, began: float) -> None:
        self.statuses[answer.status] += 1
        self.ids.append(answer.headers["x-llm-proxy-request-id"])
        self.slowest_seconds = max(self.slowest_seconds, asyncio.get_running_loop().time() - began)


Ask = Callable[[aiohttp.ClientSession, str, str, Seen], Awaitable[None]]


async def ask_json(http: aiohttp.ClientSession, url: str, plain: str, seen: Seen) -> None:
    await _post(http, f"{url}/v1/chat/completions", plain, seen)


async def ask_stream(http: aiohttp.ClientSession, url: str, plain: str, seen: Seen) -> None:
    """The last event is the end: nobody waits for what follows."""
    began = asyncio.get_running_loop().time()
    headers = {**_bearer(plain), "x-fake-chunks": "5", "x-fake-chunk-delay-ms": "5"}
    async with http.post(
        f"{url}/v1/chat/completions", json={**CHAT, "stream": True}, headers=headers
    ) as answer:
        async for line in answer.content:
            if line == b"data: [DONE]\n":
                seen.note(answer, began)


async def ask_for_nothing(http: aiohttp.ClientSession, url: str, plain: str, seen: Seen) -> None:
    """Refused: there is no such endpoint."""
    await _post(http, f"{url}/v1/nowhere", plain, seen)


async def ask_head(http: aiohttp.ClientSession, url: str, plain: str, seen: Seen) -> None:
    """Answered in headers alone."""
    began = asyncio.get_running_loop().time()
    async with http.head(f"{url}/v1/chat/completions", headers=_bearer(plain)) as answer:
        seen.note(answer, began)


async def take_turns(http: aiohttp.ClientSession, url: str, plain: str, seen: Seen) -> None:
    address = f"{url}/v1/realtime?model=gpt-realtime"
    async with http.ws_connect(address, headers=_bearer(plain)) as socket:
        connection = socket._response.headers["x-request-id"]
        for _ in range(5):
            await socket.send_str(json.dumps({"type": "response.create", "response": {}}))
            while True:
                message = await socket.receive()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return
                kind = json.loads(message.data)["type"]
                if kind == "error":
                    return  # refused: nothing else comes of it
                if kind == "response.done":
                    break
            seen.turns[connection] += 1


ALL_WAYS: tuple[Ask, ...] = (ask_json, ask_stream, ask_for_nothing, ask_head, take_turns)


async def ask_until(
    stop: Callable[[], bool], url: str, plain: str, seen: Seen, ways: tuple[Ask, ...], *, each: int = 2
) -> None:
    """So many clients of each way at a time, until `stop`; a connection that breaks is counted."""

    async def client(ask: Ask) -> None:
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            while not stop():
                try:
                    await ask(http, url, plain, seen)
                except BROKEN:
                    seen.broken += 1
                    with suppress(TimeoutError):
                        await asyncio.sleep(0.02)

    await asyncio.gather(*(client(ask) for ask in ways for _ in range(each)))


async def _post(http: aiohttp.ClientSession, address: str, plain: str, seen: Seen) -> None:
    began = asyncio.get_running_loop().time()
    async with http.post(address, json=CHAT, headers=_bearer(plain)) as answer:
        await answer.read()
        seen.note(answer, began)


def _bearer(plain: str) -> dict[str, str]:
    return {"authorization": f"Bearer {plain}"}

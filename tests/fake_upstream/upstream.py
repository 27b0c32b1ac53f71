"""The running fake upstream as these tests talk to it, without an SDK between."""

import asyncio
from typing import Any, TypeAlias

import msgspec
from aiohttp import ClientResponse, ClientSession

CHAT: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "three short words"}]}
DEADLINE_SECONDS = 5.0

# The SDK's answers are unions which would have to be narrowed before every assertion.
Sdk: TypeAlias = Any


class Upstream:
    def __init__(self, base_url: str, session: ClientSession) -> None:
        self.base_url = base_url
        self.session = session
        self._responses: list[ClientResponse] = []

    async def chat(self, *, params: dict[str, str] | None = None, **faults: object) -> ClientResponse:
        """POST a chat; `stream=True` is a member of the body, all else a fault by header."""
        body = {**CHAT, "stream": True} if faults.pop("stream", False) else CHAT
        return await self.post("chat/completions", msgspec.json.encode(body), params=params, **faults)

    async def post(
        self, path: str, body: bytes, *, params: dict[str, str] | None = None, **faults: object
    ) -> ClientResponse:
        headers = {f"x-fake-{name.replace('_', '-')}": str(value) for name, value in faults.items()}
        headers["Content-Type"] = "application/json"
        url = f"{self.base_url}/{path}"
        response = await self.session.post(url, data=body, params=params, headers=headers)
        self._responses.append(response)
        return response

    def close_responses(self) -> None:
        """Those of broken answers would otherwise be collected open, with a warning."""
        for response in self._responses:
            response.close()

    async def introspect(self, name: str) -> Any:
        async with self.session.get(f"{self.base_url.removesuffix('/v1')}/_fake/{name}") as response:
            return await response.json()

    async def wait_for_state(self, state: str) -> dict[str, Any]:
        """The first request in this state, as soon as there is one."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                for record in await self.introspect("requests"):
                    if record["state"] == state:
                        return dict(record)

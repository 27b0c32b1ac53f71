"""Where the application waits while a client does not read."""

import asyncio


class WriteGate:
    """Closed while the client does not read what we have written."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()

    @property
    def is_open(self) -> bool:
        return self._open.is_set()

    async def passed(self) -> None:
        if not self._open.is_set():
            await self._open.wait()

    def close(self) -> None:
        self._open.clear()

    def open(self) -> None:
        """Also when the connection is gone: nobody must wait for it any more."""
        self._open.set()

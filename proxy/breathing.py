"""A body of many megabytes takes time to look at: between two looks others are served."""

import asyncio

LARGE_BYTES = 1024 * 1024


async def breathe(body: bytes) -> None:
    """Let others run, where so much was done, and is to be done, that they would feel it."""
    if len(body) > LARGE_BYTES:
        await asyncio.sleep(0)

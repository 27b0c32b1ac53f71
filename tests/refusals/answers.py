"""What the test client was answered."""

from typing import Any

from asgiref.sync import async_to_sync


def text_of(answer: Any) -> str:
    """Of exports and files, too."""
    if not answer.streaming:
        return answer.content.decode()
    if not answer.is_async:
        return b"".join(answer.streaming_content).decode()

    async def collect() -> bytes:
        return b"".join([piece async for piece in answer.streaming_content])

    return async_to_sync(collect)().decode()

"""What is asked of every target, and over how many connections at once or how often a second."""

from dataclasses import dataclass

import msgspec

PATH = "/chat/completions"


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    is_stream: bool
    connections: int = 0
    """Each of which asks again when it is answered (a closed loop). 0: as many as the rate needs."""
    rate: float = 0
    """Requests a second, whatever the answers do (an open loop). 0: see `connections`."""
    chunks: int = 8
    """In the answer, as the fake upstream is told."""
    chunk_delay_ms: int = 0
    """Between two of them: without any, several pass at once."""
    least_seconds: float = 0
    """So long it is measured in any case: its answers take their time."""

    @property
    def headers(self) -> dict[str, str]:
        """That tell the fake upstream."""
        if not self.chunk_delay_ms:
            return {}
        return {
            "x-fake-chunks": str(self.chunks),
            "x-fake-chunk-delay-ms": str(self.chunk_delay_ms),
            "x-fake-clock": "1",
        }

    @property
    def body(self) -> bytes:
        """The request's JSON."""
        return msgspec.json.encode(
            {
                "model": "gpt-4o-mini",
                "messages": [{"role": "user", "content": "Say something of a few words."}],
                "stream": self.is_stream,
            }
        )

    @property
    def ending(self) -> bytes:
        """The last bytes of an answer that is whole."""
        return b"data: [DONE]\n\n" if self.is_stream else b"}"


CASES = {
    case.name: case
    for case in (
        Case("json-1", connections=1, is_stream=False),
        Case("json-32", connections=32, is_stream=False),
        Case("stream-1", connections=1, is_stream=True),
        Case("stream-32", connections=32, is_stream=True),
        Case("open-json-20", rate=20, is_stream=False),
        Case("open-json-100", rate=100, is_stream=False),
        Case("open-stream-50", rate=50, is_stream=True),
        Case("paced-1", connections=1, is_stream=True, chunks=10, chunk_delay_ms=4, least_seconds=2),
        Case("paced-8", connections=8, is_stream=True, chunks=100, chunk_delay_ms=4, least_seconds=2),
        Case("paced-8-short", connections=8, is_stream=True, chunks=10, chunk_delay_ms=4, least_seconds=2),
    )
}

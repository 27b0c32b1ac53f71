"""What is asked of every target, and over how many connections at once."""

from dataclasses import dataclass

import msgspec

PATH = "/chat/completions"


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    connections: int
    is_stream: bool

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
    )
}

"""What is known of a conversation between its turns: which model answers, and how much it has to read."""

import re

import msgspec

from proxy.bill import BYTES_PER_MODEL_TOKEN
from proxy.facts import Facts, peek
from proxy.websockets.client_events import SESSIONS, ClientEvent
from proxy.websockets.server_events import ServerEvent

AUDIO_BYTES_PER_TEXT_BYTE = 250
"""Of audio that is sent, in base64. A model token is 100 ms: 1067 bytes or more; of text it is about 4."""
_AUDIO = re.compile(
    r'\s*\{\s*(?:"event_id"\s*:\s*"[^"\\]*"\s*,\s*)?'
    r'(?:"type"\s*:\s*"input_audio_buffer\.append"|"audio"\s*:\s*")'
)


class ConversationState:
    """`is_realtime`: upstream keeps the conversation, and every turn reads all of it."""

    def __init__(self, model: str, *, is_realtime: bool, joins: bool) -> None:
        self.model = model
        self.transcription_model = ""
        self.is_realtime = is_realtime
        self._max_output_tokens: int | None = None
        self._context_tokens = 0
        self._new_bytes = 0
        self._read_bytes = 0
        self._refers_elsewhere = joins

    def sent(self, data: str | bytes) -> None:
        """The client has sent this, of which nothing else is known."""
        size = len(data)
        is_audio = isinstance(data, str) and _AUDIO.match(data) is not None
        self._new_bytes += size // AUDIO_BYTES_PER_TEXT_BYTE if is_audio else size

    def asked(self, event: ClientEvent) -> None:
        """The client changes the session: believed at once, and corrected by upstream."""
        self._refers_elsewhere = self._refers_elsewhere or event.refers_elsewhere
        self.transcription_model = event.transcription_model or self.transcription_model
        if event.kind in SESSIONS:
            self.model = event.model or self.model
            self._max_output_tokens = event.max_output_tokens or self._max_output_tokens

    def told(self, event: ServerEvent) -> None:
        """Upstream says how the session is, or what a turn has read and written."""
        if event.session is not None:
            self.model = event.session.model or self.model
            self.transcription_model = event.transcription_model or self.transcription_model
            self._max_output_tokens = event.max_output_tokens or self._max_output_tokens
        elif event.usage is not None:
            # A response beside the conversation reads less than the next one in it.
            tokens = (event.usage.input_tokens or 0) + (event.usage.output_tokens or 0)
            self._context_tokens = max(self._context_tokens, tokens)
            self._new_bytes -= self._read_bytes
            self._read_bytes = 0

    def turn(self, event: ClientEvent | None, *, for_limits: bool) -> tuple[Facts, int]:
        """The facts of a turn that begins, and the size of what it reads, as if all were text. None: nobody
        asked for it, upstream has heard the end of a sentence.
        """
        if not self.is_realtime and event is not None:
            facts = peek(event.document.encode(), "/responses", for_limits=for_limits)
            # The name that was checked; peeking reads the last of two.
            model = event.model or self.model
            return msgspec.structs.replace(facts, model=model, is_stream=True), len(event.document)
        asked_for = event.max_output_tokens if event is not None else None
        facts = Facts(
            model=(event.model if event is not None else "") or self.model,
            is_stream=True,
            max_output_tokens=asked_for or self._max_output_tokens,
            has_input_elsewhere=self._refers_elsewhere,
        )
        self._read_bytes = self._new_bytes
        return facts, self._context_tokens * BYTES_PER_MODEL_TOKEN + self._new_bytes

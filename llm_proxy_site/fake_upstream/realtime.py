"""GET /v1/realtime as a WebSocket: a session, a conversation, and responses in text or audio.

https://platform.openai.com/docs/api-reference/realtime
"""

import base64
from itertools import count
from typing import Any

import msgspec

from .patterns import pattern
from .sockets import Socket
from .words import count_words, text, words

PIECE_BYTES = 4800
"""Of audio, in each event: 100 ms of 16 bit at 24 kHz. A model token when heard, two when spoken."""
TRANSCRIPT = "what was said"


async def converse(socket: Socket) -> None:
    await _Session(socket).run()


class _Session:
    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._numbers = count(1)
        query = socket.request.query
        self._session: dict[str, Any] = {
            "id": "sess_fake",
            "object": "realtime.session",
            "type": "transcription" if query.get("intent") == "transcription" else "realtime",
            "model": query.get("model", "gpt-realtime"),
            "output_modalities": ["audio"],
            "instructions": "",
            "max_output_tokens": "inf",
            "audio": {"input": {"transcription": None, "turn_detection": None}, "output": {"voice": "alloy"}},
        }
        self._items: list[dict[str, Any]] = []
        self._audio_bytes = 0
        self._text_tokens = self._audio_tokens = 0
        """In the conversation so far."""
        self._cached = (0, 0)
        """As the last response left it: text, audio."""

    async def run(self) -> None:
        await self._say("session.created", session=self._session)
        async for message in self._socket.messages():
            try:
                event = msgspec.json.decode(message, type=dict[str, Any])
            except msgspec.DecodeError:
                await self._fail(None, "invalid_json", "Could not parse the event.")
                continue
            await self._answer(event)

    async def _answer(self, event: dict[str, Any]) -> None:
        match event.get("type"):
            case "session.update" if self._changes_model(event.get("session", {})):
                await self._fail(event, "cannot_update_model", "Cannot update a conversation's model.")
            case "session.update":
                _merge(self._session, event.get("session", {}))
                await self._say("session.updated", session=self._session)
            case "conversation.item.create":
                await self._add_item(event.get("item", {}))
            case "input_audio_buffer.append":
                self._audio_bytes += len(base64.b64decode(event.get("audio", "")))
                if self._socket.faults.vad:
                    await self._hear_a_sentence()
            case "input_audio_buffer.commit":
                await self._commit()
            case "response.create":
                await self._respond(event.get("response") or {})
            case "response.cancel":
                await self._fail(event, "response_cancel_not_active", "There is no active response.")
            case kind:
                await self._fail(event, "invalid_value", f"Invalid value: '{kind}'.")

    def _changes_model(self, session: dict[str, Any]) -> bool:
        return bool(session.get("model", self._session["model"]) != self._session["model"])

    async def _add_item(self, item: dict[str, Any]) -> None:
        item = {"id": f"item_{next(self._numbers)}", "object": "realtime.item", "status": "completed", **item}
        parts = item.get("content", [])
        self._text_tokens += sum(count_words(part.get("text", "")) for part in parts)
        self._items.append(item)
        await self._say("conversation.item.added", previous_item_id=None, item=item)
        await self._say("conversation.item.done", previous_item_id=None, item=item)

    async def _hear_a_sentence(self) -> None:
        await self._say("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_heard")
        await self._say("input_audio_buffer.speech_stopped", audio_end_ms=100, item_id="item_heard")
        await self._commit()
        if self._session["type"] == "realtime":
            await self._respond({})

    async def _commit(self) -> None:
        tokens = max(1, self._audio_bytes // PIECE_BYTES)
        self._audio_bytes = 0
        item_id = f"item_{next(self._numbers)}"
        await self._say("input_audio_buffer.committed", previous_item_id=None, item_id=item_id)
        item = {"type": "message", "role": "user", "content": [{"type": "input_audio"}], "id": item_id}
        self._audio_tokens += tokens
        await self._add_item(item)
        transcription = self._session["audio"]["input"].get("transcription")
        if transcription:
            await self._transcribe(item_id, tokens, transcription.get("model", ""))

    async def _transcribe(self, item_id: str, tokens: int, model: str) -> None:
        usage: dict[str, Any] = {"type": "duration", "seconds": tokens / 10}
        if model != "whisper-1":
            usage = {
                "type": "tokens",
                "total_tokens": tokens + 3,
                "input_tokens": tokens,
                "input_token_details": {"text_tokens": 0, "audio_tokens": tokens},
                "output_tokens": 3,
            }
        kind = "conversation.item.input_audio_transcription"
        where = {"item_id": item_id, "content_index": 0}
        await self._say(f"{kind}.delta", **where, delta=TRANSCRIPT)
        await self._say(f"{kind}.completed", **where, transcript=TRANSCRIPT, usage=usage)

    async def _respond(self, asked: dict[str, Any]) -> None:
        response_id = f"resp_{next(self._numbers)}"
        modalities = asked.get("output_modalities") or self._session["output_modalities"]
        most = asked.get("max_output_tokens", self._session["max_output_tokens"])
        length = self._socket.faults.length(most if isinstance(most, int) else None)
        response = {
            "id": response_id,
            "object": "realtime.response",
            "status": "in_progress",
            "output": [],
            "usage": None,
            "output_modalities": modalities,
            "metadata": asked.get("metadata"),
        }
        await self._say("response.created", response=response)
        item = {"id": f"item_{next(self._numbers)}", "type": "message", "role": "assistant", "content": []}
        where = {"response_id": response_id, "item_id": item["id"], "output_index": 0, "content_index": 0}
        await self._say("response.output_item.added", response_id=response_id, output_index=0, item=item)
        await (self._speak(where, length) if "audio" in modalities else self._write(where, length))
        await self._say("response.output_item.done", response_id=response_id, output_index=0, item=item)
        usage = self._usage(length, 2 * length if "audio" in modalities else 0)
        await self._say("response.done", response={**response, "status": "completed", "usage": usage})

    async def _write(self, where: dict[str, Any], length: int) -> None:
        for word in words(length):
            await self._say("response.output_text.delta", **where, delta=word)
        await self._say("response.output_text.done", **where, text=text(length))

    async def _speak(self, where: dict[str, Any], length: int) -> None:
        size = self._socket.faults.size_bytes or PIECE_BYTES
        for word in words(length):
            audio = base64.b64encode(b"".join(pattern(size))).decode()
            await self._say("response.output_audio_transcript.delta", **where, delta=word)
            await self._say("response.output_audio.delta", **where, delta=audio)
        await self._say("response.output_audio.done", **where)

    def _usage(self, text_tokens: int, audio_tokens: int) -> dict[str, Any]:
        heard_text, heard_audio = self._text_tokens, self._audio_tokens
        cached_text, cached_audio = self._cached
        self._text_tokens += text_tokens
        self._audio_tokens += audio_tokens
        self._cached = (heard_text, heard_audio)
        return {
            "total_tokens": heard_text + heard_audio + text_tokens + audio_tokens,
            "input_tokens": heard_text + heard_audio,
            "output_tokens": text_tokens + audio_tokens,
            "input_token_details": {
                "text_tokens": heard_text,
                "audio_tokens": heard_audio,
                "image_tokens": 0,
                "cached_tokens": cached_text + cached_audio,
                "cached_tokens_details": {"text_tokens": cached_text, "audio_tokens": cached_audio},
            },
            "output_token_details": {"text_tokens": text_tokens, "audio_tokens": audio_tokens},
        }

    async def _fail(self, event: dict[str, Any] | None, code: str, message: str) -> None:
        event_id = event.get("event_id") if event else None
        error = {
            "type": "invalid_request_error",
            "code": code,
            "message": message,
            "param": None,
            "event_id": event_id,
        }
        await self._say("error", error=error)

    async def _say(self, kind: str, **members: Any) -> None:
        await self._socket.say({"type": kind, "event_id": f"event_{next(self._numbers)}", **members})


def _merge(into: dict[str, Any], changes: dict[str, Any]) -> None:
    for name, value in changes.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        else:
            into[name] = value

"""POST /v1/audio/speech (binary or events) and POST /v1/audio/transcriptions (form; JSON, text or events)."""

import base64
from collections.abc import Iterator
from typing import Literal

import msgspec

from .answers import Answer, event, event_stream, json_answer
from .calls import Call
from .patterns import pattern
from .words import count_words, text, words

SPEECH_BYTES = 64 * 1024

_CONTENT_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}


class SpeechRequest(msgspec.Struct):
    model: str
    input: str
    voice: str | dict[str, str]
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] = "mp3"
    stream_format: Literal["audio", "sse"] = "audio"


_DECODER = msgspec.json.Decoder(SpeechRequest)


def speech(call: Call) -> Answer:
    request = call.decode(_DECODER)
    if request.stream_format == "sse":
        return event_stream(_speech_events(call, request))
    size = SPEECH_BYTES if call.faults.size_bytes is None else call.faults.size_bytes
    # OpenAI does not know the size when it begins, so none is declared here either.
    return Answer(pattern(size), _CONTENT_TYPES[request.response_format])


def _speech_events(call: Call, request: SpeechRequest) -> Iterator[bytes]:
    for _ in range(call.faults.chunks):
        audio = base64.b64encode(next(pattern(1024))).decode()
        yield event({"type": "speech.audio.delta", "audio": audio})
    usage = _usage(count_words(request.input), call.faults.chunks)
    yield event({"type": "speech.audio.done", "usage": usage})


def transcription(call: Call) -> Answer:
    form = call.body.form
    form.require_file("file")
    model = form.require("model")
    length = call.faults.chunks
    response_format = form.fields.get("response_format", "json")
    if response_format in ("text", "srt", "vtt"):
        return Answer(f"{text(length)}\n".encode(), "text/plain; charset=utf-8")
    # Whisper is metered by time, its successors by tokens.
    usage = {"type": "duration", "seconds": 3} if model == "whisper-1" else _tokens(length)
    if form.fields.get("stream") == "true":
        return event_stream(_transcription_events(length, usage))
    return json_answer({"text": text(length), "usage": usage})


def _transcription_events(length: int, usage: dict[str, object]) -> Iterator[bytes]:
    for word in words(length):
        yield event({"type": "transcript.text.delta", "delta": word})
    yield event({"type": "transcript.text.done", "text": text(length), "usage": usage})


def _tokens(length: int) -> dict[str, object]:
    return {
        "type": "tokens",
        **_usage(30, length),
        "input_token_details": {"text_tokens": 0, "audio_tokens": 30},
    }


def _usage(input_tokens: int, output_tokens: int) -> dict[str, object]:
    return {
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
    }

"""A finished request as bytes, and back. What an older version has written is read: fields have defaults."""

import msgspec

from usage.entry import UsageEntry
from usage.spool.frames import MAX_PAYLOAD_BYTES

MAX_TEXT = 1000
"""Characters; longer than any column."""


class NotSpoolableError(Exception):
    """A value in it that cannot be written as bytes."""


def encode(entry: UsageEntry) -> bytes:
    """Raises NotSpoolableError."""
    try:
        payload = _encoder.encode(entry)
        if len(payload) > MAX_PAYLOAD_BYTES:
            payload = _encoder.encode(_clipped(entry))
    except (UnicodeEncodeError, OverflowError, TypeError) as problem:
        raise NotSpoolableError from problem
    return payload


def decode(payload: bytes) -> UsageEntry | None:
    """None: it has another shape than ours."""
    try:
        return _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _clipped(entry: UsageEntry) -> UsageEntry:
    """Clients choose some texts, such as the model's name, at any length."""
    values = msgspec.structs.asdict(entry)
    texts = {name: value[:MAX_TEXT] for name, value in values.items() if type(value) is str}
    return msgspec.structs.replace(entry, **texts, finished=None)


_encoder = msgspec.msgpack.Encoder(uuid_format="bytes")
_decoder = msgspec.msgpack.Decoder(UsageEntry)

"""What is kept of a body, of the bytes that came: redacted text, or a word on why there is none. Pure."""

import codecs
import re
import zlib
from dataclasses import dataclass

from usage.captures.prefix import read_document
from usage.captures.raw import EVENT_STREAM, RawBody
from usage.captures.redaction import Redaction, write_document

INFLATED_BYTES = 4096
"""At a time: what follows a member of a gzip stream is copied, and there may be many members."""

_FIELD = re.compile(r"(data|event|id|retry): ?(.*)", re.DOTALL)
_PADDING = re.compile(rb"\0*")
"""Of some writers, after a member."""


@dataclass(frozen=True, slots=True)
class KeptBody:
    media_type: str
    size_bytes: int
    """Of all that came."""
    text: str | None
    """None: nothing is kept."""
    is_cut: bool
    """Whether it ends in the midst: more came than is kept, or no more came."""
    note: str = ""
    """Why nothing is kept."""


def kept(body: RawBody, redaction: Redaction, max_bytes: int) -> KeptBody:
    def nothing(note: str) -> KeptBody:
        return KeptBody(body.media_type, body.size_bytes, None, False, note)

    if not body.size_bytes:
        return nothing("It is empty.")
    if not body.is_readable:
        return nothing("Only JSON and streams of events are kept.")
    is_cut = len(body.data) < body.size_bytes
    data = bytes(body.data)
    if body.coding == "gzip":
        data, is_cut = _inflated(data, max_bytes, is_cut=is_cut)
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        text = decoder.decode(data)
    except UnicodeDecodeError:
        return nothing("It is not UTF-8, and could not be redacted.")
    is_cut |= bool(decoder.getstate()[0])
    if body.media_type == EVENT_STREAM:
        return KeptBody(body.media_type, body.size_bytes, _events(text, redaction), is_cut)
    found = None if is_cut else _document(text, redaction, is_cut=False)
    if found is None:  # of who has broken off it is the beginning
        found, is_cut = _document(text, redaction, is_cut=True), True
    if found is None:
        return nothing("It is not JSON, and could not be redacted.")
    return KeptBody(body.media_type, body.size_bytes, found, is_cut)


def _inflated(data: bytes, max_bytes: int, *, is_cut: bool) -> tuple[bytes, bool]:
    """What a gzip stream holds, up to so many bytes, and whether that is not all."""
    found = bytearray()
    begin = 0
    try:
        while begin < len(data) and len(found) < max_bytes:
            inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
            while not inflate.eof:
                piece = data[begin : begin + INFLATED_BYTES]
                if not piece or len(found) == max_bytes:
                    return bytes(found), True
                found += inflate.decompress(piece, max_bytes - len(found))
                begin += len(piece) - len(inflate.unused_data) - len(inflate.unconsumed_tail)
            if padding := _PADDING.match(data, begin):
                begin = padding.end()
    except zlib.error:
        is_cut = True
    return bytes(found), is_cut or begin < len(data)


def _document(text: str, redaction: Redaction, *, is_cut: bool) -> str | None:
    document = read_document(text, is_whole=not is_cut)
    if document is None:
        return text.strip() if text.strip() == "null" else None
    return write_document(redaction.document(document))


def _events(text: str, redaction: Redaction) -> str:
    """Line by line: what is JSON in them is redacted, of what is none only what streams say of themselves
    stays. What comes after the last end of a line may be half of one.
    """
    lines = re.split(r"\r\n|\r|\n", text)
    found = [_line(line, redaction, is_cut=False) for line in lines[:-1]]
    return "\n".join([*found, _line(lines[-1], redaction, is_cut=True)])


def _line(line: str, redaction: Redaction, *, is_cut: bool) -> str:
    match = _FIELD.fullmatch(line)
    if match is None:
        return "" if not line else ":"  # a comment, or no field that there is
    name, value = match.groups()
    if name != "data":
        return "" if is_cut else f"{name}: {redaction.text(value)}"
    if value == "[DONE]":
        return line
    document = _document(value, redaction, is_cut=is_cut)
    return f"data: {document if document is not None else '[not JSON]'}"

"""A strict reader of multipart/form-data (RFC 7578), for forms whose fields have to be seen.

Readers of forms differ in what they forgive: here nothing is forgiven. The body goes upstream untouched.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from projects.ruleset import Names
from proxy.errors import BadRequest

MAX_FIELD_BYTES = 1024 * 1024
MAX_PARTS = 1000
MAX_HEADER_BYTES = 8 * 1024


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    is_file: bool
    content_type: bytes
    content: memoryview


ReadJson = Callable[[bytes, Names, str], dict[str, Any]]

_TYPE = re.compile(
    rb"multipart/form-data\s*;\s*boundary=(?:\"([0-9A-Za-z'()+_,./:=?-]{1,70})\"|([0-9A-Za-z'+_.-]{1,70}))"
    rb"(?:\s*;\s*charset=\"?utf-8\"?)?\s*",
    re.IGNORECASE,
)
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_DISPOSITION = re.compile(
    rb"form-data; ?name=(?:\"([A-Za-z0-9_.\[\]-]{1,200})\"|([A-Za-z0-9_.-]{1,200}))"
    rb"((?:; ?filename\*?=(?:\"[^\"\\]*\"|[^\s\";,]+))*) ?",
    re.IGNORECASE,
)
_SEGMENT = re.compile(r"[^.\[\]]+")
_CHARSET = re.compile(rb"charset[^=;]*=[\s\"']*([^\s\"';]*)")
_PLAIN_CHARSETS = (b"utf-8", b"utf8", b"us-ascii", b"ascii")
_ASCII_SUPERSETS = (b"iso-8859-1", b"iso-8859-15", b"latin1", b"windows-1252")
_PLAIN_ENCODINGS = (b"7bit", b"8bit", b"binary")


def read_form(content_type: bytes, body: bytes, names: Names, read_json: ReadJson) -> dict[str, Any]:
    """What the form says by these names, as lists of texts. Raises BadRequest where that is not certain.

    Names in brackets lead into objects and lists: `tools[0][type]`, `include[]`. Where an object is looked
    into, its field may be JSON: then `read_json` reads it.
    """
    match = _TYPE.fullmatch(content_type)
    if match is None:
        raise _doubtful("its content type")
    values: dict[str, Any] = {}
    seen: set[str] = set()
    for part in _parts(body, b"--" + (match[1] or match[2])):
        name = part.name
        first, *further = _SEGMENT.findall(name)[:16] or [""]
        _refuse_hidden([first, *further], names)
        if first not in names:
            continue
        if part.is_file or (name in seen and not name.endswith("[]")) or _is_both(name, first, seen):
            raise _doubtful("a field", first)
        seen |= {name, f"{first}["} if name != first else {name}
        _put(values, [first, *(member for member in further if not member.isdigit())], _text(part, first))
    return {name: _look_into(value, names[name] or {}, name, read_json) for name, value in values.items()}


def is_plain_text(content_type: bytes, content: bytes) -> bool:
    """Whether the content is the same text in UTF-8 and in every charset that its type names."""
    charsets = _CHARSET.findall(content_type.lower())
    return all(
        charset in _PLAIN_CHARSETS or (charset in _ASCII_SUPERSETS and content.isascii())
        for charset in charsets
    )


def is_hidden(name: str, names: Names) -> bool:
    """Whether another reader may take it for one of the names: some know no case, some stop at a NUL."""
    return name not in names and name.partition("\0")[0].casefold() in names


def _refuse_hidden(path: list[str], names: Names) -> None:
    branch = names
    for part in path:
        if is_hidden(part, branch):
            raise _doubtful("a name", path[0])
        branch = branch if part.isdigit() else branch.get(part) or {}


def _parts(body: bytes, delimiter: bytes) -> list[_Part]:
    """Each occurrence of the delimiter must be one: a reader that is content with less finds no other parts
    than we.
    """
    parts: list[_Part] = []
    whole = memoryview(body)
    start = 0
    if not body.startswith(delimiter):
        raise _doubtful("its beginning")
    while True:
        start += len(delimiter)
        if body[start : start + 2] == b"--":
            if body[start + 2 :] not in (b"", b"\r\n"):
                raise _doubtful("its end")
            return parts
        end = body.find(delimiter, start)
        if body[start : start + 2] != b"\r\n" or end < 0 or body[end - 2 : end] != b"\r\n":
            raise _doubtful("where its parts begin and end")
        headers_end = body.find(b"\r\n\r\n", start, min(end, start + MAX_HEADER_BYTES))
        if headers_end < 0 or headers_end + 4 > end - 2 or len(parts) == MAX_PARTS:
            raise _doubtful("the headers of a part")
        parts.append(_part(body[start + 2 : headers_end], whole[headers_end + 4 : end - 2]))
        start = end


def _part(head: bytes, content: memoryview) -> _Part:
    headers: dict[bytes, bytes] = {}
    for line in head.split(b"\r\n"):
        header = _HEADER.fullmatch(line)
        if header is None or header[1].lower() in headers:
            raise _doubtful("the headers of a part")
        headers[header[1].lower()] = header[2]
    disposition = _DISPOSITION.fullmatch(headers.get(b"content-disposition", b""))
    encoding = headers.get(b"content-transfer-encoding", b"binary").strip().lower()
    content_type = headers.get(b"content-type", b"")
    is_nested = content_type.strip().lower().startswith(b"multipart/")
    if disposition is None or encoding not in _PLAIN_ENCODINGS or is_nested:
        raise _doubtful("the headers of a part")
    name = (disposition[1] or disposition[2]).decode()
    if name == "_charset_":
        raise _doubtful("a field", name)
    return _Part(name, bool(disposition[3]), content_type, content)


def _is_both(name: str, first: str, seen: set[str]) -> bool:
    """A field by its bare name and one by its name in brackets: which of them holds?"""
    return f"{first}[" in seen if name == first else first in seen


def _text(part: _Part, name: str) -> str:
    content = bytes(part.content[: MAX_FIELD_BYTES + 1])
    if len(content) > MAX_FIELD_BYTES or not is_plain_text(part.content_type, content):
        raise _doubtful("a field", name)
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise _doubtful("a field", name) from None


def _put(values: dict[str, Any], path: list[str], text: str) -> None:
    """Several texts at one place become a list; what hangs below a text hides nothing: both are kept."""
    *branches, leaf = path
    for branch in branches:
        below = values.setdefault(branch, {})
        if not isinstance(below, dict):
            raise _doubtful("a field", path[0])
        values = below
    if leaf in values and not isinstance(values[leaf], list):
        raise _doubtful("a field", path[0])
    values.setdefault(leaf, []).append(text)


def _look_into(value: Any, names: Names, place: str, read_json: ReadJson) -> Any:
    if isinstance(value, list):
        return [_look_into(item, names, place, read_json) for item in value]
    if isinstance(value, str) and names and value.lstrip()[:1] in ("{", "["):
        wrapped = b'{"":' + value.encode() + b"}"
        return read_json(wrapped, {"": names}, place)[""]
    if isinstance(value, dict):
        return {
            name: _look_into(below, names.get(name) or {}, place, read_json) for name, below in value.items()
        }
    return value


def _doubtful(what: str, param: str | None = None) -> BadRequest:
    return BadRequest(
        "The limits or rules of this access token depend on what is in this request's form, and it cannot be "
        f"read with certainty: {what} is missing, repeated or written in a doubtful way.",
        param=param,
    )

"""The head of an answer, as it goes out. Pure."""

from collections.abc import Iterable

_CLOSE, _CHUNKED = (b"connection", b"close"), (b"transfer-encoding", b"chunked")


class AnswerHead:
    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self._headers = list(headers)
        self._names = {name.lower() for name, _ in self._headers}

    @property
    def has_length(self) -> bool:
        return b"content-length" in self._names

    def text(self, status_line: bytes, *, is_chunked: bool, is_last: bool) -> bytes:
        """`is_last`: the connection ends with this answer."""
        headers = self._headers
        if is_last and b"connection" in self._names:
            headers = [header for header in headers if header[0].lower() != b"connection"]
        added = [*([_CHUNKED] if is_chunked else []), *([_CLOSE] if is_last else [])]
        text = _text(status_line, [*headers, *added])
        if text.count(b"\n") == text.count(b"\r") == len(headers) + len(added) + 2:
            return text
        return _text(status_line, [(_one_line(name), _one_line(value)) for name, value in headers] + added)


def _text(status_line: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
    return b"%b\r\n%b\r\n" % (status_line, b"".join([b"%b: %b\r\n" % header for header in headers]))


def _one_line(text: bytes) -> bytes:
    """What an application lets through must not begin a header of its own."""
    return b" ".join(text.splitlines())

"""A reader of multipart forms without I/O: files are counted and hashed as they pass, never held."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from aiohttp import content_disposition_filename, parse_content_disposition

from .errors import ApiError, missing_parameter

MAX_FIELD_BYTES = 1 << 20
MAX_PART_HEADER_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Upload:
    filename: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Form:
    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, Upload] = field(default_factory=dict)

    def require(self, name: str) -> str:
        if not self.fields.get(name):
            raise missing_parameter(name)
        return self.fields[name]

    def require_file(self, name: str) -> Upload:
        if name not in self.files:
            raise missing_parameter(name)
        return self.files[name]


class FormReader:
    """Feed it a body in pieces of any size, then take the `form`."""

    def __init__(self, boundary: str) -> None:
        self._delimiter = f"\r\n--{boundary}".encode()
        self._buffer = bytearray(b"\r\n")  # the first delimiter has no line before it
        self._step: Callable[[], bool] = self._read_content
        self._part: _Part | None = None
        self._form = Form()
        self._complete = False

    def feed(self, data: bytes) -> None:
        self._buffer += data
        while self._step():
            pass

    @property
    def form(self) -> Form:
        if not self._complete:
            raise _malformed()
        return self._form

    def _read_content(self) -> bool:
        end = self._buffer.find(self._delimiter)
        if end < 0:
            # The delimiter may have begun in what is held back.
            self._pass_on(len(self._buffer) - len(self._delimiter) + 1)
            return False
        self._pass_on(end)
        del self._buffer[: len(self._delimiter)]
        if self._part:
            self._part.add_to(self._form)
        self._part = None
        self._step = self._read_delimiter_end
        return True

    def _pass_on(self, size: int) -> None:
        if size <= 0:
            return
        if self._part:
            self._part.feed(bytes(self._buffer[:size]))
        del self._buffer[:size]

    def _read_delimiter_end(self) -> bool:
        if len(self._buffer) < 2:
            return False
        line_end = bytes(self._buffer[:2])
        del self._buffer[:2]
        if line_end == b"--":
            self._complete = True
            self._step = self._skip_epilogue
        elif line_end == b"\r\n":
            self._step = self._read_part_headers
        else:
            raise _malformed()
        return True

    def _read_part_headers(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_PART_HEADER_BYTES:
                raise _malformed()
            return False
        self._part = _Part.from_headers(bytes(self._buffer[:end]).split(b"\r\n"))
        del self._buffer[: end + 4]
        self._step = self._read_content
        return True

    def _skip_epilogue(self) -> bool:
        self._buffer.clear()
        return False


class _Part:
    def __init__(self, name: str, filename: str | None) -> None:
        self.name = name
        self.filename = filename
        self.size = 0
        self.sha256 = hashlib.sha256()
        self.text = bytearray()

    @classmethod
    def from_headers(cls, lines: Iterable[bytes]) -> "_Part":
        for line in lines:
            name, _, value = line.decode("utf-8", "replace").partition(":")
            if name.lower() == "content-disposition":
                _, params = parse_content_disposition(value.strip())
                return cls(params.get("name", ""), content_disposition_filename(params))
        raise _malformed()

    def feed(self, data: bytes) -> None:
        self.size += len(data)
        if self.filename is not None:
            self.sha256.update(data)
            return
        if self.size > MAX_FIELD_BYTES:
            raise ApiError(400, f"The form field '{self.name}' is too large.", param=self.name)
        self.text += data

    def add_to(self, form: Form) -> None:
        if self.filename is None:
            form.fields[self.name] = self.text.decode("utf-8", "replace")
        else:
            form.files[self.name] = Upload(self.filename, self.size, self.sha256.hexdigest())


def _malformed() -> ApiError:
    return ApiError(400, "Could not parse multipart form")

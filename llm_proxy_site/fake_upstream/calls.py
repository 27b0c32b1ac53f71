"""One request as an endpoint sees it, its body already received."""

from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
from aiohttp import web

from .errors import ApiError, undecodable_body
from .faults import Faults
from .multipart import Form, FormReader
from .recording import Record

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Body:
    """`content` is empty where the body was a form."""

    content: bytes = b""
    form: Form = field(default_factory=Form)


@dataclass(frozen=True, slots=True)
class Call:
    """`digest` is the SHA-256 of the body, from which all ids are made."""

    request: web.Request
    faults: Faults
    body: Body
    digest: str

    def decode(self, decoder: msgspec.json.Decoder[T]) -> T:
        try:
            return decoder.decode(self.body.content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise undecodable_body(error) from error

    def make_id(self, prefix: str) -> str:
        return prefix + self.digest[:32]


async def receive_body(request: web.Request, record: Record) -> Body:
    """Read it to its end, whatever it is, so that the record is complete."""
    if request.content_type == "multipart/form-data":
        return Body(form=await _receive_form(request, record))
    chunks = []
    async for chunk in request.content.iter_any():
        record.feed(chunk)
        chunks.append(chunk)
    return Body(b"".join(chunks))


async def _receive_form(request: web.Request, record: Record) -> Form:
    reader = FormReader(_boundary(request))
    refusal: ApiError | None = None
    async for chunk in request.content.iter_any():
        record.feed(chunk)
        try:
            if not refusal:
                reader.feed(chunk)
        except ApiError as error:
            refusal = error
    if refusal:
        raise refusal
    return reader.form


def _boundary(request: web.Request) -> str:
    # An absent boundary matches nothing, and the form is then malformed.
    return request.headers["Content-Type"].partition("boundary=")[2].partition(";")[0].strip('" ')

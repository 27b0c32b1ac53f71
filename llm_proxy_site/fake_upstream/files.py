"""/v1/files: of an upload only name, size and hash are kept; its content is a pattern of the same size.

The id `file-size-<N>` names a file of N bytes that nobody has to upload.
"""

import hashlib
import re
from dataclasses import dataclass

from aiohttp import web

from .answers import CREATED, Answer, json_answer
from .calls import Call
from .errors import ApiError
from .patterns import pattern

_SIZED = re.compile(r"file-size-(\d{1,13})")


@dataclass(frozen=True, slots=True)
class StoredFile:
    id: str
    filename: str
    purpose: str
    size: int
    sha256: str = ""

    def as_dict(self) -> dict[str, object]:
        """OpenAI's object, and `sha256` of what was received."""
        return {
            "object": "file",
            "id": self.id,
            "purpose": self.purpose,
            "filename": self.filename,
            "bytes": self.size,
            "created_at": CREATED,
            "expires_at": None,
            "status": "processed",
            "status_details": None,
            "sha256": self.sha256,
        }


_UNQUOTABLE = dict.fromkeys((*range(32), ord('"'), ord("\\"), 127), "_")

FILES = web.AppKey("files", dict[str, StoredFile])


def upload(call: Call) -> Answer:
    received = call.body.form.require_file("file")
    purpose = call.body.form.require("purpose")
    # The same file gets the same id: a form's boundary, and so the body's digest, is random.
    seed = f"{purpose}/{received.filename}/{received.sha256}"
    file_id = f"file-{hashlib.sha256(seed.encode()).hexdigest()[:24]}"
    stored = StoredFile(file_id, received.filename, purpose, received.size, received.sha256)
    call.request.app[FILES][file_id] = stored
    return json_answer(stored.as_dict())


def list_all(call: Call) -> Answer:
    stored = list(call.request.app[FILES].values())
    return json_answer(
        {
            "object": "list",
            "data": [file.as_dict() for file in stored],
            "has_more": False,
            "first_id": stored[0].id if stored else None,
            "last_id": stored[-1].id if stored else None,
        }
    )


def retrieve(call: Call) -> Answer:
    return json_answer(_find(call).as_dict())


def delete(call: Call) -> Answer:
    file = _find(call)
    call.request.app[FILES].pop(file.id, None)
    return json_answer({"object": "file", "id": file.id, "deleted": True})


def content(call: Call) -> Answer:
    file = _find(call)
    disposition = f'attachment; filename="{file.filename.translate(_UNQUOTABLE)}"'
    return Answer(
        pattern(file.size),
        "application/octet-stream",
        headers=(("content-disposition", disposition),),
        size=file.size,
    )


def _find(call: Call) -> StoredFile:
    file_id = call.request.match_info["file_id"]
    if sized := _SIZED.fullmatch(file_id):
        return StoredFile(file_id, f"{file_id}.bin", "user_data", int(sized[1]))
    file = call.request.app[FILES].get(file_id)
    if file is None:
        raise ApiError(404, f"No such File object: {file_id}", param="id")
    return file

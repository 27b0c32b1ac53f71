"""The splice that asks for usage: a few bytes inserted or replaced in the raw body of a request for a stream.

https://platform.openai.com/docs/api-reference/chat/create (`stream_options.include_usage`). Everything else
stays as the client wrote it. Where it is not certain what the body says, it is left alone.
"""

from proxy.breathing import LARGE_BYTES
from proxy.document import has_unique_members
from proxy.metering.members import Member, members_of

_ASKING = b'"stream_options":{"include_usage":true},'
_INCLUDE = b'"include_usage":true'
_HARMLESS = {"include_usage", "include_obfuscation"}
"""What others (`continuous_usage_stats` of vLLM) do depends on whether usage is asked for."""


def asking_for_usage(body: bytes) -> bytes | None:
    """The body with the question in it. None: it asks already, is no stream's, or cannot be changed with
    certainty.

    `body` is a JSON object: the caller has decoded it.
    """
    if len(body) > LARGE_BYTES and has_unique_members(body, without="stream_options"):
        return _insert(body, body.index(b"{") + 1, _ASKING)
    if b"stream_options" not in body and b"\\u00" not in body and body.count(b'"stream"') == 1:
        return _insert(body, body.index(b"{") + 1, _ASKING)  # as almost always: no need to look further
    brace = body.index(b"{")
    members, _ = members_of(body, brace)
    streams = [member for member in members if member.name == "stream"]
    options = [member for member in members if member.name == "stream_options"]
    if len(streams) != 1 or len(options) > 1:
        return None
    return _with_options(body, options[0]) if options else _insert(body, brace + 1, _ASKING)


def _with_options(body: bytes, options: Member) -> bytes | None:
    value = body[options.start : options.end]
    if value == b"null":
        return _replace(body, options, b"{" + _INCLUDE + b"}")
    if not value.startswith(b"{"):
        return None
    members, _ = members_of(body, options.start)
    if any(member.name not in _HARMLESS for member in members):
        return None
    includes = [member for member in members if member.name == "include_usage"]
    if not includes:
        comma = b"," if members else b""
        return _insert(body, options.start + 1, _INCLUDE + comma)
    if len(includes) > 1 or body[includes[0].start : includes[0].end] not in (b"false", b"null"):
        return None
    return _replace(body, includes[0], b"true")


def _insert(body: bytes, position: int, text: bytes) -> bytes:
    whole = memoryview(body)
    return b"".join((whole[:position], text, whole[position:]))


def _replace(body: bytes, member: Member, text: bytes) -> bytes:
    whole = memoryview(body)
    return b"".join((whole[: member.start], text, whole[member.end :]))

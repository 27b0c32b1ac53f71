"""The few facts that are peeked from a JSON body. What has another type than it should is taken for absent:
upstream judges the request, and the worst is assumed of what cannot be read.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from projects.ruleset import Names
from proxy.references import refers_elsewhere

_ABSENT = msgspec.Raw(b"null")
_RUNS = re.compile(r"/threads(?:/[^/]+)?/runs")
"""Where a run of an assistant begins: its input is a thread that upstream keeps, and it goes on by itself."""


class _Peeked(msgspec.Struct):
    model: Any = None
    stream: Any = None
    service_tier: Any = None
    max_tokens: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None
    n: Any = None
    best_of: Any = None
    background: Any = None
    input: msgspec.Raw = _ABSENT
    tools: msgspec.Raw = _ABSENT
    web_search_options: msgspec.Raw = _ABSENT
    previous_response_id: msgspec.Raw = _ABSENT
    conversation: msgspec.Raw = _ABSENT
    prompt: msgspec.Raw = _ABSENT


class _Tool(msgspec.Struct):
    type: str


class Facts(msgspec.Struct, frozen=True):
    model: str = ""
    is_stream: bool = False
    service_tier: str = ""
    max_output_tokens: int | None = None
    """The most that the client asks for, of all choices together; None: it does not say."""
    choices: int = 1
    """Outputs that are asked for."""
    inputs: int = 1
    """Texts that are sent in one request: each may be as long as the model's context."""
    is_background: bool = False
    """Whether upstream answers before it works."""
    has_input_elsewhere: bool = False
    """Whether upstream adds to the input what it keeps or fetches: the body's size says little."""
    spoken_bytes: int = 0
    """Of a text that is to be read aloud."""


NO_FACTS = Facts()
MAX_CHOICES = 1024
"""Where no limits depend on them: more than any upstream gives."""
LIMIT_NAMES: Names = {
    **dict.fromkeys(_Peeked.__struct_fields__),
    "model": {},
    "stream": {},
    "n": {},
    "tools": {"type": {}},
}
"""What limits and prices depend on."""
_decoder = msgspec.json.Decoder(_Peeked)
_tools = msgspec.json.Decoder(list[_Tool])


def peek(body: bytes, path: str, *, for_limits: bool = False, refers: bool | None = None) -> Facts:
    """The facts in the JSON body of a request to this path below /v1; empty ones if it is not a JSON object.

    What only limits ask for is looked at if they do. `refers` is what `references` finds, if it was asked.
    """
    try:
        peeked = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return NO_FACTS
    model, tier = peeked.model, peeked.service_tier
    is_run = _RUNS.fullmatch(path) is not None
    if not for_limits:
        return Facts(
            model=model if isinstance(model, str) else "",
            is_stream=peeked.stream is True,
            is_background=is_run,
            has_input_elsewhere=is_run,
            choices=1 if peeked.n is None else min(_count(peeked.n) or 1, MAX_CHOICES),
            spoken_bytes=_spoken_bytes(peeked, path),
        )
    inputs = _count_inputs(peeked, path)
    # One prompt of `completions` gives as many outputs as are asked for; so does each of several.
    choices = max(_count(peeked.n) or 1, _count(peeked.best_of) or 1) * (
        inputs if path == "/completions" else 1
    )
    most = _count(peeked.max_completion_tokens) if is_run else _most_output(peeked, path)
    return Facts(
        model=model if isinstance(model, str) else "",
        is_stream=peeked.stream is True,
        service_tier=tier if isinstance(tier, str) else "",
        max_output_tokens=None if most is None else most * choices,
        choices=choices,
        inputs=inputs,
        is_background=is_run or peeked.background is True,
        has_input_elsewhere=is_run
        or _has_input_elsewhere(peeked)
        or (refers_elsewhere(body) if refers is None else refers),
        spoken_bytes=_spoken_bytes(peeked, path),
    )


def form_facts(fields: Mapping[str, Any]) -> Facts:
    """Of a form, read by LIMIT_NAMES. Its files may be more model tokens than they are bytes."""
    stream, choices = _only_text(fields, "stream"), _only_text(fields, "n")
    return Facts(
        model=_only_text(fields, "model"),
        is_stream=stream.lower() in ("true", "1", "yes", "on", "y", "t"),
        choices=int(choices) if choices.isascii() and choices.isdigit() and 0 < len(choices) < 6 else 1,
        has_input_elsewhere=True,
    )


def _only_text(fields: Mapping[str, Any], name: str) -> str:
    found = fields.get(name)
    return (
        found[0].strip() if isinstance(found, list) and len(found) == 1 and isinstance(found[0], str) else ""
    )


def _most_output(peeked: _Peeked, path: str) -> int | None:
    if path == "/responses":
        return _count(peeked.max_output_tokens)
    if path not in ("/chat/completions", "/completions"):
        return None
    stated = (_count(peeked.max_completion_tokens), _count(peeked.max_tokens))
    return max((count for count in stated if count is not None), default=None)


def _spoken_bytes(peeked: _Peeked, path: str) -> int:
    """Without its quotes."""
    text = bytes(peeked.input) if path == "/audio/speech" else b""
    return len(text) - 2 if text.startswith(b'"') else 0


def _count_inputs(peeked: _Peeked, path: str) -> int:
    if path not in ("/completions", "/embeddings"):
        return 1
    texts = bytes(peeked.prompt if path == "/completions" else peeked.input)
    if not texts.startswith(b"["):
        return 1
    try:
        parts = msgspec.json.decode(texts, type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return texts.count(b",") + 1  # at most
    # A list of numbers is one text in model tokens.
    return max(1, sum(bytes(part)[:1] in (b'"', b"[") for part in parts))


def _count(value: Any) -> int | None:
    """A whole number above 0, as a JSON number of either kind; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if value == value // 1 and 0 < value < 2**53 else None


def _has_input_elsewhere(peeked: _Peeked) -> bool:
    referring = (peeked.previous_response_id, peeked.conversation, peeked.web_search_options)
    if any(bytes(value) != b"null" for value in referring) or not _are_functions(peeked.tools):
        return True
    # For `responses` a prompt is an object that names a stored one; for `completions` it is the text.
    return bytes(peeked.prompt)[:1] == b"{"


def _are_functions(tools: msgspec.Raw) -> bool:
    """Whether the client runs all of them. Upstream's own (search, files, code) bring in what they find."""
    if bytes(tools) == b"null":
        return True
    try:
        return all(tool.type in ("function", "custom") for tool in _tools.decode(tools))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False

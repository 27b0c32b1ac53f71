"""What is taken out of a document before it is kept: members that a project names, and what looks like a
secret, by the name of its member or by itself. Pure, and in linear time: the interpreter waits meanwhile.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

from llm_proxy_site.secret_forms import REDACTED, without_secrets
from projects.capture import ANYWHERE
from projects.ruleset import path_of
from usage.captures.prefix import CUT, read_document

LONG = 512
"""So many characters of base64 in one piece are told by their number."""

Path = tuple[str, ...]

_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[-. ]+")
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:password|passwd|passphrase|secret|secrets)(?:_|$)"
    r"|(?:^|_)(?:token|authorization|auth|bearer|cookies?|credentials?|headers|apikey)$"
    r"|(?:^|_)(?:api|access|private|secret|encryption|signing|ssh)_?keys?$"
)
_LONG_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{512,}+={0,2}")
_DATA_URL = re.compile(
    r"(?i)(\bdata:[a-z0-9.+/-]{1,100}(?:;[a-z0-9=._-]{1,100}){0,4};base64,)[A-Za-z0-9+/=_-]*"
)
_IN_A_URL = re.compile(r"://[^/\s:@]{0,200}:[^/\s@]{1,200}@")
_NAMED_SECRETS = re.compile(
    r"(?i)((?:api[_-]?key|access[_-]?key|secret|password|passwd|passphrase|token|authorization|cookie)"
    r"[\"'\\]{0,4}\s{0,4}[:=]\s{0,4}[\"'\\]{0,4}(?:(?:bearer|basic)\s{1,4})?|\bbearer\s{1,4})"
    r"(?!\[redacted\])[^\s\"'\\,;&}\])]{4,}"
)
_NAMES = (
    *(
        "apikey",
        "api_key",
        "api-key",
        "accesskey",
        "access_key",
        "access-key",
        "secret",
        "passw",
        "passphrase",
    ),
    *("token", "authorization", "cookie", "bearer"),
)
"""The same of these, in lower case."""
_ADDRESS = re.compile(r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]++@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+")
_PLAIN = re.compile(r"[^@:=_{\[-]{0,10}")
"""Too short, and too plain, for any of them."""


class Redaction:
    def __init__(self, names: Iterable[str] = (), *, addresses: bool = True) -> None:
        """`names` as a project writes them; `addresses`: e-mail addresses are redacted too."""
        names = tuple(names)
        self._anywhere = frozenset(name[len(ANYWHERE) :] for name in names if name.startswith(ANYWHERE))
        self._paths = frozenset(path_of(name) for name in names if not name.startswith(ANYWHERE))
        self._deepest = max(map(len, self._paths), default=0)
        self._addresses = addresses
        self._members: dict[str, tuple[str, bool]] = {}
        """Of names that were seen: what is kept of them, and whether what is called so is a secret."""

    def document(self, value: Any) -> Any:
        """Of JSON as Python has it: what may be kept of it."""
        return self._value(value, () if self._paths else None)

    def text(self, text: str) -> str:
        is_cut = text.endswith(CUT)
        if is_cut:
            text = _without_last_word(text.removesuffix(CUT))
        if _PLAIN.fullmatch(text):
            return text
        if text.lstrip()[:1] in ("{", "[") and (inner := self._inner(text, is_cut=is_cut)) is not None:
            return inner
        lower = text.lower()
        if "base64," in lower:
            text = _DATA_URL.sub(lambda url: f"{url[1]}{_length(url[0][len(url[1]) :])}", text)
        if len(text) >= LONG:
            text = _LONG_BASE64.sub(lambda run: _length(run[0]), text)
        text = without_secrets(text)
        if "://" in text:
            text = _IN_A_URL.sub(f"://{REDACTED}@", text)
        if any(name in lower for name in _NAMES):
            text = _NAMED_SECRETS.sub(rf"\1{REDACTED}", text)
        return _ADDRESS.sub(REDACTED, text) if self._addresses and "@" in text else text

    def _value(self, value: Any, path: Path | None) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self._value(item, path) for item in value]
        if isinstance(value, dict):
            return dict(self._member(name, item, path) for name, item in value.items())
        return value

    def _member(self, name: str, item: Any, path: Path | None) -> tuple[str, Any]:
        """`path`: of what the member belongs to; None: no name leads further."""
        known = self._members.get(name)
        if known is None:
            known = self._members[name] = self.text(name), is_secret(name)
        kept_name, is_hidden = known
        here = None if path is None else (*path, name)
        if name in self._anywhere or here in self._paths:
            return kept_name, REDACTED
        if is_hidden and item is not None and not isinstance(item, bool):
            return kept_name, REDACTED
        return kept_name, self._value(item, here if here is not None and len(here) < self._deepest else None)

    def _inner(self, text: str, *, is_cut: bool) -> str | None:
        """Of a text that is a document itself, such as the arguments of a tool; None: it is none."""
        inner = read_document(text, is_whole=not is_cut)
        if not isinstance(inner, dict | list):
            return None
        return write_document(self._value(inner, None))


def _without_last_word(text: str) -> str:
    """It may be half of what would be known if it were whole."""
    last = text.rsplit(maxsplit=1)[-1:]
    return text[: -len(last[0])] if last and text.endswith(last[0]) else text


def is_secret(name: str) -> bool:
    """Whether what is called so is one."""
    return _SECRET_NAME.search(_WORDS.sub("_", name).lower()) is not None


def write_document(value: Any) -> str:
    """As one line of JSON. Half a surrogate, which UTF-8 cannot have, becomes a question mark."""
    return _encoder.encode(value).encode("utf-8", "replace").decode()


def _length(text: str) -> str:
    return f"[{len(text)} characters]"

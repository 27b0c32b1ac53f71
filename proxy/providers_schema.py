"""What PROVIDERS_FILE may say. Whatever else it says is a problem, with its line; all are found at once, but
for a second one in the same endpoint or the same settings of a provider.
"""

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from django.core.exceptions import ValidationError

from projects.models import validate_base_url
from proxy.endpoints import Method, shape
from proxy.headers import HOP_BY_HOP
from proxy.located_yaml import LocatedYAML, Place, Problem

T = TypeVar("T")

Bytes = Annotated[int, msgspec.Meta(ge=1, le=2**50)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
SecondsOrNone = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
"""0: for ever."""

MAX_PATH_CHARACTERS = 100
"""As long as the ledger's column."""
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,49}")
_PATH = re.compile(r"(/([A-Za-z0-9_.~-]+|\{[a-z_]+\}))*/([A-Za-z0-9_.~-]+|\{[a-z_]+\*?\})")
_HEADER_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,100}")
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,998}[\x21-\x7e])?")
_SCHEME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{0,50}")
_OURS = {name.decode() for name in HOP_BY_HOP} | {"accept-encoding", "content-length", "expect", "host"}
"""Headers that the proxy must write itself, or the connection breaks."""
_SECRETS = {"api-key", "authorization", "cookie", "x-api-key"}


class KeyEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The header that carries the upstream key, and the word before it."""

    header: str
    scheme: str = ""


class HeadersEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    drop: tuple[str, ...] = ()
    set: dict[Any, Any] = {}


class ProviderEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    base_url: str | None = None
    families: tuple[str, ...] | None = None
    key: KeyEntry = KeyEntry(header="authorization", scheme="Bearer")
    headers: HeadersEntry = HeadersEntry()
    max_request_bytes: Bytes | None = None
    connect_timeout_seconds: Seconds | None = None
    first_byte_timeout_seconds: Seconds | None = None
    read_timeout_seconds: Seconds | None = None
    total_timeout_seconds: SecondsOrNone | None = None


class EndpointEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    path: str
    methods: tuple[Method, ...] = ()
    websocket: bool = False
    usage: Literal["openai", "input", "speech", "unreported", "none"] | None = None
    leads_past_us: bool = False
    model: Literal["named", "none", "elsewhere"] = "named"
    takes_files: bool = False
    asks_usage: bool = False
    background: bool = False
    max_request_bytes: Bytes | None = None
    first_byte_timeout_seconds: Seconds | None = None
    read_timeout_seconds: Seconds | None = None
    total_timeout_seconds: SecondsOrNone | None = None


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole, as far as it was understood."""

    providers: Annotated[dict[Any, Any], msgspec.Meta(min_length=1)]
    families: Annotated[dict[Any, Any], msgspec.Meta(min_length=1)]


class Schema:
    """Reads a file's content once: `providers` and `families` are what it says, `problems` what is wrong."""

    def __init__(self, content: LocatedYAML) -> None:
        self.providers: dict[str, ProviderEntry] = {}
        self.families: dict[str, dict[int, EndpointEntry]] = {}
        """Endpoints by their position."""
        self._content = content
        self._found: set[Problem] = set()
        whole = self._convert(content.value, FileEntry, ())
        if whole is not None:
            self._read_families(whole.families)
            self._read_providers(whole.providers)

    @property
    def problems(self) -> list[Problem]:
        return sorted(self._found)

    def _read_families(self, families: dict[Any, Any]) -> None:
        for name, items in families.items():
            place: Place = ("families", name)
            self._check_name(name, place)
            if not isinstance(items, list):
                self._complain(place, "a family is a list of endpoints")
                items = []
            self.families[name] = {
                index: endpoint
                for index, item in enumerate(items)
                if (endpoint := self._convert(item, EndpointEntry, (*place, index))) is not None
            }
            for index, endpoint in self.families[name].items():
                self._check_endpoint(endpoint, (*place, index))
            self._refuse_duplicates([name])

    def _check_endpoint(self, endpoint: EndpointEntry, place: Place) -> None:
        path = endpoint.path
        if not _PATH.fullmatch(path) or {".", ".."} & set(path.split("/")):
            self._complain(
                (*place, "path"),
                f"{path!r} is no path: after each slash a word or {{name}}, after the last perhaps {{name*}}",
            )
        elif len(path) > MAX_PATH_CHARACTERS:
            self._complain((*place, "path"), f"a path has at most {MAX_PATH_CHARACTERS} characters")
        if not endpoint.methods and not endpoint.websocket:
            self._complain((*place, "methods"), f"{path} has no methods, and no WebSocket")
        if endpoint.usage is None and ("POST" in endpoint.methods or endpoint.websocket):
            self._complain(place, f"{path} has POST or WebSockets, so it must say what its usage is")

    def _read_providers(self, providers: dict[Any, Any]) -> None:
        for name, item in providers.items():
            place: Place = ("providers", name)
            self._check_name(name, place)
            provider = self._convert(item, ProviderEntry, place)
            if provider is None:
                continue
            self.providers[name] = provider
            self._check_base_url(provider.base_url, place)
            self._check_key(provider.key, (*place, "key"))
            self._check_headers(provider, (*place, "headers"))
            self._check_families(provider.families, (*place, "families"))

    def _check_name(self, name: object, place: Place) -> None:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            self._complain(
                place, f"{name!r} is no name: lower-case letters, digits, _ and -, a letter first, at most 50"
            )

    def _check_base_url(self, base_url: str | None, place: Place) -> None:
        if base_url is None:
            return
        try:
            validate_base_url(base_url)
        except ValidationError as problem:
            self._complain((*place, "base_url"), " ".join(problem.messages))

    def _check_key(self, key: KeyEntry, place: Place) -> None:
        name = key.header.lower()
        if not _HEADER_NAME.fullmatch(name):
            self._complain((*place, "header"), f"{key.header!r} is no name of a header")
        elif name in _OURS:
            self._complain((*place, "header"), f"the proxy itself writes the header {name}")
        if not _SCHEME.fullmatch(key.scheme):
            self._complain((*place, "scheme"), "a scheme is one word, such as Bearer")

    def _check_headers(self, provider: ProviderEntry, place: Place) -> None:
        key_name, seen = provider.key.header.lower(), set[str]()
        rules = [(name, (*place, "drop", index)) for index, name in enumerate(provider.headers.drop)]
        rules += [(name, (*place, "set", name)) for name in provider.headers.set]
        for name, at in rules:
            lowered = name.lower() if isinstance(name, str) else ""
            if not _HEADER_NAME.fullmatch(lowered):
                self._complain(at, f"{name!r} is no name of a header")
            elif lowered in _OURS:
                self._complain(at, f"the proxy itself writes the header {lowered}")
            elif lowered == key_name or (lowered in _SECRETS and "set" in at):
                self._complain(
                    at, f"the header {lowered} is for a key, which is the project's, and never here"
                )
            elif lowered in seen:
                self._complain(at, f"the header {lowered} is named twice")
            seen.add(lowered)
        for name, value in provider.headers.set.items():
            if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
                self._complain(
                    (*place, "set", name),
                    "a header's value is text (in quotes) of printable ASCII characters",
                )

    def _check_families(self, families: tuple[str, ...] | None, place: Place) -> None:
        for index, family in enumerate(families or ()):
            if family not in self.families:
                self._complain((*place, index), f"there is no family {family}")
            elif families is not None and family in families[:index]:
                self._complain((*place, index), f"the family {family} is named twice")
        if families is not None and not families:
            self._complain(place, "a provider without families serves nothing; leave them out to serve all")
        self._refuse_duplicates(self.families if families is None else families)

    def _refuse_duplicates(self, families: Iterable[str]) -> None:
        """No two endpoints of one provider may answer to the same paths."""
        lines: dict[str, int] = {}
        for family in dict.fromkeys(families):
            for index, endpoint in self.families.get(family, {}).items():
                place = ("families", family, index)
                line = self._content.line(place)
                first = lines.setdefault(shape(endpoint.path), line)
                if first != line:
                    self._complain(place, f"{endpoint.path} is listed twice, first in line {first}")

    def _convert(self, value: object, kind: type[T], place: Place) -> T | None:
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as problem:
            self._complain(*_placed(str(problem), place))
            return None

    def _complain(self, place: Place, message: str) -> None:
        where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).lstrip(".")
        line = self._content.line(place)
        self._found.add(Problem(line, f"{where}: {message}" if where else message))


def _placed(message: str, place: Place) -> tuple[Place, str]:
    """msgspec's complaint, such as "Expected `str`, got `int` - at `$.families[0]`", and where it belongs."""
    text, _, inner = message.partition(" - at `")
    steps = re.findall(r"\.([A-Za-z_]\w*)|\[(\d+)\]", inner)
    place = (*place, *(name or int(index) for name, index in steps))
    unknown = re.search(r"unknown field `(.*)`", text)
    if unknown:
        return (*place, unknown[1]), "there is no such setting"
    return place, text

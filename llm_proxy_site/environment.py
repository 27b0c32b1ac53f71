"""Reads variables through django-environ for `settings.py`, its only user.

A bad value never raises here: it is remembered by name, the default stands in, and a system
check (`llm_proxy.E001`) names every one of them at once. Values are never repeated: one may be a secret.
"""

import os
import re
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import environ

from llm_proxy_site.files import is_file
from projects.lifetime import parse_period

SQLITE = "django.db.backends.sqlite3"
MYSQL = "django.db.backends.mysql"
NO_DATABASE = "django.db.backends.dummy"
NO_MYSQL_DRIVER = (
    "the driver for MySQL and MariaDB cannot be loaded; install it with `make mysql`, or `pip install "
    "--require-hashes -r requirements-mysql.txt`"
)
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""RFC 9110 section 5.6.2: of a header."""
DATABASE_SCHEMES = ("postgres", "postgresql", "mysql", "sqlite")


class Environment:
    def __init__(self) -> None:
        self._env = environ.Env()
        self.inherited: dict[str, str] = dict(self._env.ENVIRON)
        """The process's environment, without what files add to it."""
        self.names: list[str] = []
        self.problems: list[str] = []

    def read_file(self, path: Path) -> None:
        """Take variables from a KEY=value file, where there is one; the process's environment wins."""
        try:
            if is_file(path):
                self._env.read_env(path)
        except (OSError, UnicodeDecodeError):
            self.problems.append(f"{path} cannot be read as a file of KEY=value lines in UTF-8")

    def text(self, name: str, default: str = "") -> str:
        return str(self.read(name, str, default))

    def workers(self, name: str, default: int) -> int:
        """How many; `auto` is one for each core that this process may use."""
        return int(self.read(name, parse_workers, default))

    def flag(self, name: str, *, default: bool) -> bool:
        return bool(self.read(name, _flag, default))

    def words(self, name: str) -> list[str]:
        """A list, comma-separated."""
        return [word.strip() for word in self.text(name).split(",") if word.strip()]

    def networks(self, name: str) -> tuple[IPv4Network | IPv6Network, ...]:
        """A list, comma-separated; none where one of them is bad."""
        found: tuple[IPv4Network | IPv6Network, ...] = self.read(name, _networks, ())
        return found

    def pairs(self, name: str) -> dict[str, str]:
        """NAME=VALUE, comma-separated, values percent-encoded; none where one of them is bad."""
        found: dict[str, str] = self.read(name, _pairs, {})
        return found

    def url(self, name: str, *, below: str = "") -> str:
        """Of a server that speaks HTTP, or of a path below it; empty if there is none."""
        url = str(self.read(name, _url, ""))
        return url.rstrip("/") + below if url and below else url

    def share(self, name: str, default: float) -> float:
        """From 0 to 1."""
        return float(self.read(name, _share, default))

    def whole(self, name: str, default: int, *, minimum: int = 1) -> int:
        return int(self.read(name, _at_least(minimum, int), default))

    def seconds(self, name: str, default: float, *, minimum: float = 0.01) -> float:
        return float(self.read(name, _at_least(minimum, float), default))

    def period(self, name: str, default: timedelta | None, *, minimum: timedelta) -> Any:
        """A number and a unit, such as 24h or 7d."""

        def parse(text: str) -> timedelta:
            period = parse_period(text)
            if period < minimum:
                raise BadValueError(f"must be at least {int(minimum.total_seconds())}s")
            return period

        return self.read(name, parse, default)

    def database(self, name: str, default: Path) -> dict[str, Any]:
        """Django's description of a database: what the URL names, or SQLite in the default file. None at all
        where the driver is missing: Django would raise as it loads the models, before any check could speak,
        and another database in its place could be an old one.
        """
        config: dict[str, Any] = self.read(name, _database, _database(f"sqlite:///{default}"))
        if config["ENGINE"] == MYSQL and not _has_mysql_driver():
            self.problems.append(f"{name}: {NO_MYSQL_DRIVER}")
            return {**config, "ENGINE": NO_DATABASE}
        return config

    def read(self, name: str, cast: Callable[[str], Any], default: Any) -> Any:
        """The variable through `cast`; the default where it is missing, empty or bad."""
        self.names.append(name)
        text = self._env.get_value(name, cast=str, default="").strip()
        if not text:
            return default
        try:
            return cast(text)
        except ValueError as problem:
            self.problems.append(f"{name}: {_reason(problem)}")
            return default


def _database(url: str) -> dict[str, Any]:
    # The scheme first: for one that it does not know, django-environ prints all of the URL.
    config: dict[str, Any] = environ.Env.db_url_config(url) if url.split("://")[0] in DATABASE_SCHEMES else {}
    if not config.get("NAME"):
        raise BadValueError("must be postgres://USER:PASSWORD@HOST:PORT/NAME, mysql://..., or sqlite:///FILE")
    return config


def _has_mysql_driver() -> bool:
    try:
        import_module("MySQLdb")  # what it is built on may be missing, too
    except ImportError:
        return False
    return True


def parse_workers(text: str) -> int:
    """Raises BadValueError."""
    if text.lower() == "auto":
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        return int(_at_least(1, int)(text))
    except ValueError:
        raise BadValueError("must be a number of processes, at least 1, or auto") from None


def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    try:
        return tuple(ip_network(word.strip()) for word in text.split(",") if word.strip())
    except ValueError:
        raise BadValueError("must be networks such as 10.0.0.0/8, comma-separated") from None


def _pairs(text: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for word in filter(None, map(str.strip, text.split(","))):
        name, equals, value = word.partition("=")
        name, value = name.strip(), unquote(value.strip())
        if not (equals and _NAME.fullmatch(name) and value.isascii() and value.isprintable()):
            raise BadValueError("must be NAME=VALUE, comma-separated, values percent-encoded and in ASCII")
        pairs[name] = value
    return pairs


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_one = False
    if not (is_one and text.isascii() and text.isprintable()) or " " in text:
        raise BadValueError("must be an http(s) URL such as http://127.0.0.1:4318")
    return text


def _share(text: str) -> float:
    share = _at_least(0, float)(text)
    if share > 1:
        raise BadValueError("must be at most 1")
    return share


def _flag(value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise BadValueError("must be true or false")
    return value.lower() == "true"


def _at_least(minimum: float, cast: Callable[[str], float]) -> Callable[[str], float]:
    def bounded(value: str) -> float:
        try:
            number = cast(value)
        except ValueError:
            raise BadValueError(f"must be {'a whole number' if cast is int else 'a number'}") from None
        if not minimum <= number < float("inf"):
            raise BadValueError(f"must be at least {minimum}")
        return number

    return bounded


class BadValueError(ValueError):
    """A sentence about a value that does not repeat the value."""


def _reason(problem: Exception) -> str:
    return str(problem) if isinstance(problem, BadValueError) else "cannot be understood"

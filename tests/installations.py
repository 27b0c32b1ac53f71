"""Installations as `setup` leaves them, each of the test's own: set up once, and copied from then on."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeAlias

from llm_proxy_site.processes import manage
from tests.databases import copied, database_on

Installation: TypeAlias = dict[str, str]
"""The environment of its commands."""
Install: TypeAlias = Callable[[Path], AbstractContextManager[Installation]]
"""Makes one in this folder."""


@contextmanager
def on_sqlite(folder: Path) -> Iterator[Install]:
    """The original is in `folder`."""
    original = _set_up(folder, f"sqlite:///{folder / 'llm-proxy.db'}")

    @contextmanager
    def install(own: Path) -> Iterator[Installation]:
        shutil.copytree(original["DATA_DIR"], own)
        yield _environment(own, f"sqlite:///{own / 'llm-proxy.db'}")

    yield install


@contextmanager
def on_server(server_url: str, folder: Path) -> Iterator[Install]:
    """The databases are on this server. Raises NoServerError."""
    with database_on(server_url) as original_url:
        _set_up(folder, original_url)

        @contextmanager
        def install(own: Path) -> Iterator[Installation]:
            with copied(original_url) as url:
                own.mkdir(exist_ok=True)
                yield _environment(own, url)

        yield install


def _set_up(folder: Path, url: str) -> Installation:
    environment = _environment(folder, url)
    manage("setup", environment=environment)
    return environment


def _environment(folder: Path, url: str) -> Installation:
    return {"DATA_DIR": str(folder), "DATABASE_URL": url}

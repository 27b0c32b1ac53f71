"""Installations with a project, whose commands run as processes of their own."""

import shutil
from pathlib import Path

import pytest

from llm_proxy_site.processes import manage
from tests.installations import Install, Installation

KEY = "sk-upstream-0123456789"


@pytest.fixture(scope="session")
def template(_install_on_sqlite: Install, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of one on SQLite."""
    with _install_on_sqlite(tmp_path_factory.mktemp("installation") / "data") as installation:
        with_a_project(installation)
    return Path(installation["DATA_DIR"])


@pytest.fixture
def installation(template: Path, tmp_path: Path) -> Installation:
    """One of the test's own."""
    folder = shutil.copytree(template, tmp_path / "data")
    return {"DATA_DIR": str(folder), "DATABASE_URL": f"sqlite:///{folder / 'llm-proxy.db'}"}


def with_a_project(installation: Installation) -> Installation:
    manage("create_project", "before", "--upstream-key", "-", environment=installation, stdin=KEY)
    return installation

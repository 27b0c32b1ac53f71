"""An installation on SQLite, whose commands run as processes of their own."""

import shutil
from pathlib import Path

import pytest

from llm_proxy_site.processes import manage

KEY = "sk-upstream-0123456789"


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of an installation with a project."""
    folder = tmp_path_factory.mktemp("installation") / "data"
    environment = _environment(folder)
    manage("setup", environment=environment)
    manage("create_project", "before", "--upstream-key", "-", environment=environment, stdin=KEY)
    return folder


@pytest.fixture
def installation(template: Path, tmp_path: Path) -> dict[str, str]:
    """The environment of one of the test's own."""
    shutil.copytree(template, tmp_path / "data")
    return _environment(tmp_path / "data")


def _environment(folder: Path) -> dict[str, str]:
    return {"DATA_DIR": str(folder), "DATABASE_URL": f"sqlite:///{folder / 'llm-proxy.db'}"}

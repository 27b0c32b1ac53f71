"""Where the client programs are: `make clients` installs them."""

import os
import shutil
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
PYTHON = Path(os.environ.get("TEST_CLIENTS_PYTHON", FOLDER.parent.parent / ".venv-clients/bin/python"))


@pytest.fixture(scope="session")
def clients_python(request: pytest.FixtureRequest) -> Path:
    """An interpreter that has the client libraries."""
    return _insisted_on(request, PYTHON, PYTHON.with_name("llm").exists())


@pytest.fixture(scope="session")
def node(request: pytest.FixtureRequest) -> Path:
    """Node, with OpenAI's SDK installed beside the program."""
    found = shutil.which("node")
    is_installed = found is not None and (FOLDER / "node/node_modules/openai").exists()
    return _insisted_on(request, Path(found or "node"), is_installed)


def _insisted_on(request: pytest.FixtureRequest, program: Path, is_installed: bool) -> Path:
    if is_installed:
        return program
    problem = f"client programs are not installed ({program.name}): make clients"
    if request.config.getoption("--require-services"):
        pytest.fail(problem)
    pytest.skip(problem)

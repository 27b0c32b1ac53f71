"""deploy/mysql/Dockerfile: what it says, and its installation, where the driver can be built."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deployment.dockerfile import CONTEXT, ignored, stages
from tests.deployment.test_image import HADOLINT

FILE = CONTEXT / "deploy/mysql/Dockerfile"
BUILD, FINAL = stages(FILE)


def test_hadolint_finds_nothing() -> None:
    done = subprocess.run([HADOLINT, FILE], capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (0, "")


def test_it_begins_with_the_image_that_is_shipped_and_runs_as_its_user() -> None:
    text = FILE.read_text(encoding="utf-8")

    assert re.findall(r"^ARG (.+)", text, re.MULTILINE) == ["PROXY_IMAGE=llm-proxy"]
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["${PROXY_IMAGE}"] * 2
    assert FINAL.of("USER")[-1:] == stages()[-1].of("USER")
    assert FINAL.steps[-1][0] == "USER"


def test_what_it_copies_reaches_the_builder() -> None:
    copied = [argument.split()[0] for argument in BUILD.of("COPY")]

    assert copied == ["requirements-mysql.txt"]
    assert not any(map(ignored, copied))
    assert FINAL.of("COPY") == ["--from=build /venv /venv"]


def test_no_compiler_is_left_in_it_and_what_the_driver_is_linked_to_is() -> None:
    (packages,) = FINAL.of("RUN")

    assert "gcc" in BUILD.of("RUN")[0]
    assert packages.split("--no-install-recommends ")[1].split(" &&")[0].split() == ["libmariadb3"]


def test_the_documents_build_it() -> None:
    text = (CONTEXT / "docs/deployment.md").read_text(encoding="utf-8")

    assert f"docker build --file {FILE.relative_to(CONTEXT)} --tag llm-proxy-mysql .\n" in text


def test_the_driver_is_installed_into_an_environment_without_pip(tmp_path: Path) -> None:
    """By the line that does it there."""
    pytest.importorskip("pip", reason="needs a Python with pip, as the base of the image is")
    if subprocess.run(["pkg-config", "--exists", "libmariadb"]).returncode:
        pytest.skip("needs pkg-config and libmariadb-dev")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (line,) = (run for run in BUILD.of("RUN") if " pip " in run)
    assert "/usr/local/bin/python -m pip --python /venv/bin/python install" in line
    line = line.replace("/venv/", f"{tmp_path}/venv/").replace("/usr/local/bin/python", sys.executable)

    done = subprocess.run(["sh", "-c", line], cwd=CONTEXT, capture_output=True, text=True)

    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    subprocess.run([tmp_path / "venv/bin/python", "-c", "import MySQLdb"], cwd=tmp_path, check=True)

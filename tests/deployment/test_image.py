"""What the Dockerfile says, and that it says nothing else."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deployment.dockerfile import CONTEXT, DOCKERFILE, ignored, stages

HADOLINT = Path(sys.executable).with_name("hadolint")
PACKAGES = ("audit", "llm_proxy_site", "projects", "proxy", "tokens", "usage")


def test_hadolint_finds_nothing() -> None:
    done = subprocess.run([HADOLINT, DOCKERFILE], capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (0, "")


def test_it_runs_as_somebody_who_is_not_root_by_number() -> None:
    (user,) = stages()[-1].of("USER")

    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    after = [instruction for instruction, _ in stages()[-1].steps]
    assert not {"RUN", "COPY", "ADD"} & set(after[after.index("USER") :])


def test_every_base_is_the_argument_that_a_release_pins() -> None:
    text = DOCKERFILE.read_text()

    assert re.findall(r"^ARG (.+)", text, re.MULTILINE) == ["PYTHON_IMAGE=base"]
    named, *built_on = re.findall(r"^FROM (.+)", text, re.MULTILINE)
    assert named == "python:3.12-slim-bookworm AS base"  # which Dependabot reads, and a release pins
    assert [line.split()[0] for line in built_on] == ["${PYTHON_IMAGE}"] * 2
    assert stages()[0].steps == []


def test_no_shell_stands_between_a_signal_and_the_server() -> None:
    final = stages()[-1]

    assert json.loads(*final.of("ENTRYPOINT")) == ["python", "/app/manage.py"]
    assert json.loads(*final.of("CMD"))[0] == "serve"
    assert final.of("HEALTHCHECK")[0].partition("CMD ")[2].startswith("[")


def test_what_is_installed_is_locked_by_hash_and_nothing_is_downloaded_otherwise() -> None:
    runs = " ".join(run for stage in stages() for run in stage.of("RUN"))

    assert "--require-hashes -r requirements.txt" in runs
    assert not re.search(r"curl|wget|https?:|apt-get", runs)
    assert not any(stage.of("ADD") for stage in stages())


def test_all_that_is_installed_is_audited() -> None:
    all_stages = [*stages(), *stages(CONTEXT / "deploy/mysql/Dockerfile")]
    runs = " ".join(run for stage in all_stages for run in stage.of("RUN"))
    rule = re.findall(r"^audit:.*\n\t(.+)", (CONTEXT / "Makefile").read_text(), re.MULTILINE)

    assert set(re.findall(r"-r (\S+)", *rule)) == set(re.findall(r"-r (\S+)", runs))


def test_no_secret_is_in_a_layer() -> None:
    text = DOCKERFILE.read_text()

    for name in (
        "SECRET_KEY",
        "ENCRYPTION_KEYS",
        "DATABASE_URL",
        "REDIS_URL",
        "MANAGEMENT_TOKEN",
        "PASSWORD",
    ):
        assert name not in text


@pytest.mark.parametrize(
    "path",
    [".env", "data/secrets.env", "data/llm-proxy.db", ".git/config", "secrets.env", "tests/live.py", ".venv"],
)
def test_what_is_private_or_needless_does_not_reach_the_builder(path: str) -> None:
    assert ignored(path)


def test_all_of_the_product_is_copied() -> None:
    copied = {argument.split()[0] for argument in stages()[1].of("COPY")}

    locked = {"requirements.txt", "requirements-traces.txt", "requirements-fast.txt"}
    assert copied == {*locked, "manage.py", "static", *PACKAGES}
    assert {each.parent.name for each in CONTEXT.glob("*/__init__.py")} - {"tests"} == set(PACKAGES)
    assert not any(map(ignored, copied))


def test_nothing_private_lies_where_the_product_is_copied_from() -> None:
    files = [path for name in (*PACKAGES, "static") for path in (CONTEXT / name).rglob("*") if path.is_file()]

    assert files
    assert [path for path in files if path.suffix in (".env", ".pem", ".key", ".db", ".sqlite3")] == []

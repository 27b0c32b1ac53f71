"""The workflows: what neither their schema nor zizmor, which `make check` asks, can know."""

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

from llm_proxy_site.version import __version__
from tests.deployment.dockerfile import DOCKERFILE

ROOT = Path(settings.BASE_DIR)
FILES = sorted((ROOT / ".github/workflows").glob("*.yml"))
WORKFLOWS: dict[str, Any] = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in FILES}

ON = True
"""What YAML 1.1 takes the key `on` for."""


def step(workflow: str, job: str, name: str) -> str:
    """What it runs."""
    (found,) = (each["run"] for each in WORKFLOWS[workflow]["jobs"][job]["steps"] if each.get("name") == name)
    return str(found)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_job_is_bounded_and_may_do_only_what_it_says(name: str) -> None:
    workflow = WORKFLOWS[name]

    assert workflow["permissions"] == {}
    assert workflow["concurrency"]["group"]
    for job in workflow["jobs"].values():
        assert job["permissions"]
        if "uses" in job:  # its jobs are bounded where they are written, and nowhere else can they be
            assert job["uses"].removeprefix("./.github/workflows/").removesuffix(".yml") in WORKFLOWS
        else:
            assert job["timeout-minutes"] <= 90


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_action_is_pinned_by_commit_and_says_its_version(path: Path) -> None:
    uses = re.findall(r"uses: (?!\./)(.+)", path.read_text(encoding="utf-8"))

    assert uses
    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each) for each in uses)


def test_every_python_that_is_promised_is_tested() -> None:
    tested = WORKFLOWS["ci"]["jobs"]["test"]["strategy"]["matrix"]["python"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert project["requires-python"] == f">={tested[0]}"
    assert tested == [f"3.{minor}" for minor in range(11, 11 + len(tested))]
    assert re.findall(r"python:(3\.\d+)", DOCKERFILE.read_text())[0] in tested


def test_every_database_is_tested() -> None:
    images = [each["image"] for each in WORKFLOWS["ci"]["jobs"]["database"]["strategy"]["matrix"]["include"]]

    assert {image.partition(":")[0] for image in images} == {"postgres", "mariadb", "mysql"}
    promised = re.findall(
        r"^MySQL (\d+\.\d+)[\d.]*, MariaDB (\d+\.\d+)", read("docs/settings.md"), re.MULTILINE
    )
    assert [{f"mysql:{mysql}", f"mariadb:{mariadb}"} - set(images) for mysql, mariadb in promised] == [set()]


def test_what_is_published_has_been_tested_before() -> None:
    release = WORKFLOWS["release"]["jobs"]

    assert "workflow_call" in WORKFLOWS["ci"][ON]
    assert release[release["image"]["needs"]]["uses"] == "./.github/workflows/ci.yml"


def test_every_image_is_built() -> None:
    lines = "\n".join(each.get("run", "") for each in WORKFLOWS["ci"]["jobs"]["image"]["steps"])

    assert "make image\n" in lines
    for file in ROOT.glob("deploy/*/Dockerfile"):
        assert f"docker build --file {file.relative_to(ROOT)} " in lines


def test_the_image_that_a_release_publishes_is_the_one_that_is_deployed(tmp_path: Path) -> None:
    lines = step("release", "image", "Names").replace("docker buildx", "true")
    run = f"GITHUB_OUTPUT={tmp_path}/out\n{lines}\ncat $GITHUB_OUTPUT"
    told = printed(run, "bash", IMAGE="ghcr.io/Owner/Name", GITHUB_REF_NAME=f"v{__version__}")
    (image,) = yaml.safe_load(read("deploy/kubernetes/kustomization.yaml"))["images"]
    (build,) = (each for each in WORKFLOWS["release"]["jobs"]["image"]["steps"] if each.get("id") == "build")

    assert f"version={image['newTag']}\n" in told
    assert image["newTag"] == __version__
    assert f"    newTag: {__version__}\n" in read("docs/deployment.md")
    assert f"of tag `v{__version__}` the image `{__version__}`" in read("docs/deployment.md")
    assert build["with"]["tags"].endswith("outputs.image }}:${{ steps.names.outputs.version }}")


def test_what_a_release_reads_is_where_it_looks() -> None:
    names = step("release", "image", "Names").splitlines()[0]
    checked = step("release", "image", "The tag is the version")

    assert printed(f'{names}; echo "$base"').startswith("python:3.")
    printed(checked, GITHUB_REF_NAME=f"v{__version__}")
    with pytest.raises(subprocess.CalledProcessError):
        printed(checked, GITHUB_REF_NAME="v0.0.0")


def test_the_development_container_is_described() -> None:
    described = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))

    for target in re.findall(r"make (\w+)", described["postCreateCommand"]):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def printed(line: str, shell: str = "sh", **environment: str) -> str:
    return subprocess.run(
        [shell, "-c", line], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")

"""The lines for a shell in the documents work: each document's from first to last, on one server."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import NoServerError, database_on, own_database_url
from tests.documents.blocks import DOCUMENTS, ROOT, Block, blocks, commands, documents_with
from tests.documents.relay import relaying
from tests.factories import UPSTREAM_KEY, ProjectFactory, UserFactory, issue_token
from tests.live import LiveProxy
from tests.llm_proxy_site.takeover.originals import OriginalDatabase
from tests.management import key_of

PREAMBLE = 'curl() { command curl -sSf "$@"; }\n'
"""An answer of 400 or more is a failure."""
NEW_DATABASE = "postgres://llm_proxy:PASSWORD@db.example.com:5432/llm_proxy"
NOT_RUN = {
    "git clone": "there is no such address here",
    "python manage.py serve": "it serves until it is stopped; all of tests/e2e does it",
    "METRICS_NETWORKS=127.0.0.1 python manage.py serve": "likewise",
    "OTEL_EXPORTER_OTLP_ENDPOINT=": "likewise; tests/e2e/test_tracing.py",
    "curl http://127.0.0.1:8000/metrics": "off where these lines run; tests/e2e/test_metrics.py scrapes it",
    "make ": "these install, or run for minutes; the targets are looked for in the Makefile",
    ". .venv/bin/activate": "it is active",
    "python manage.py bench": "takes minutes; tests/bench",
    "docker ": "no engine runs here; tests/deployment does what the image's steps do",
    "old=$(docker ": "likewise",
    "kubectl ": "no cluster runs here; tests/deployment holds the manifests against the schemas",
    "kill -HUP": "tests/e2e/test_reload.py and test_rolling_restart.py do",
}
"""Lines that begin so, and why."""


@pytest.fixture
def new_database(request: pytest.FixtureRequest) -> Iterator[str]:
    server = os.environ.get("TEST_POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/postgres")
    try:
        with database_on(server) as url:
            yield url
    except NoServerError as problem:
        if request.config.getoption("--require-services"):
            raise
        pytest.skip(f"no PostgreSQL at TEST_POSTGRES_URL: {problem}")


@pytest.mark.parametrize("document", documents_with("sh"))
def test_the_lines_of_a_document_work(
    document: str, live: LiveProxy, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    script = "\n".join(f": {block}\n{run_of(block)}" for block in blocks(document, "sh"))
    world = prepare(
        live, tmp_path, has_web="create_project web" not in script and '"name": "web"' not in script
    )
    for shown, meant in (
        ("http://127.0.0.1:8000", live.url),
        ("https://llm-proxy.example.com", live.url),
        ("sk-wt-...", world["OPENAI_API_KEY"]),
        ("/var/backups/llm-proxy", str(tmp_path / "backups")),
        ("/srv/old/data/llm-proxy.db", str(tmp_path / "old.db")),
    ):
        script = script.replace(shown, meant)
    if NEW_DATABASE in script:
        script = script.replace(NEW_DATABASE, request.getfixturevalue("new_database"))
    with relaying(tmp_path) as programs:
        done = subprocess.run(
            ["bash", "-xeuo", "pipefail", "-c", PREAMBLE + script],
            env={**os.environ, **world, "PATH": f"{programs}:{os.environ['PATH']}"},
            cwd=tmp_path,
            input=f"{UPSTREAM_KEY}\n",
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, f"{done.stderr[-3000:]}\n{done.stdout[-3000:]}"


def test_every_exception_is_one() -> None:
    shown = [
        command for document in DOCUMENTS for block in blocks(document, "sh") for command in commands(block)
    ]
    for beginning in NOT_RUN:
        assert any(command.startswith(beginning) for command in shown), beginning


def test_targets_of_make_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for document in DOCUMENTS:
        for block in blocks(document, "sh"):
            assert set(re.findall(r"^make ([a-z-]+)", block.text, re.MULTILINE)) <= targets, str(block)


def run_of(block: Block) -> str:
    return "\n".join(line for line in commands(block) if not line.startswith(tuple(NOT_RUN)))


def prepare(live: LiveProxy, folder: Path, *, has_web: bool) -> dict[str, str]:
    """What the documents take for granted: people, a project, a token, files; as an environment."""
    ada = UserFactory(superuser=True, username="ada")
    project = ProjectFactory.create(name="web" if has_web else "prepared", permits_renewal=True)
    token, plain = issue_token(project=project, name="nightly")
    original = OriginalDatabase(folder / "old.db")
    original.add_token(original.add_project("imported"))
    (folder / "backups").mkdir()
    (folder / "batch.jsonl").write_text("{}\n")
    (folder / "new.yaml").write_bytes((ROOT / "proxy/providers.yaml").read_bytes())
    return {
        "DATABASE_URL": own_database_url(),
        "DATA_DIR": str(folder),
        "PROXY": live.url,
        "KEY": key_of(ada),
        "PROJECT": str(project.id),
        "UPSTREAM_KEY": str(project.upstream_keys.get().id),
        "TOKEN": str(token.id),
        "USERNAME": UserFactory().username,
        "OPENAI_BASE_URL": live.base_url,
        "OPENAI_API_KEY": plain,
        "OLD_ENCRYPTION_KEY": "",
    }

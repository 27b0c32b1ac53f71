"""What the documents show of clients that are installed apart runs, and nothing of it is left out."""

from pathlib import Path

from tests.clients.conftest import FOLDER
from tests.clients.test_clients import SAID, endpoints, run
from tests.documents.blocks import Block, blocks, documents_with
from tests.documents.test_python import BLOCKS, OF_CLIENTS
from tests.factories import issue_token
from tests.live import LiveProxy

JS = [block for document in documents_with("js") for block in blocks(document, "js")]
LANGCHAIN = [block for block in BLOCKS if OF_CLIENTS in block.text]


def test_node_of_the_documents_runs(live: LiveProxy, node: Path, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(FOLDER / "node/node_modules")
    assert_they_run(JS, live, node, tmp_path / "snippet.mjs")


def test_langchain_of_the_documents_runs(live: LiveProxy, clients_python: Path, tmp_path: Path) -> None:
    assert_they_run(LANGCHAIN, live, clients_python, tmp_path / "snippet.py")


def assert_they_run(shown: list[Block], live: LiveProxy, program: Path, file: Path) -> None:
    assert shown
    for block in shown:
        token, plain = issue_token()
        file.write_text(block.text, encoding="utf-8")
        assert run(live, plain, file.parent, program, file) == SAID, str(block)
        assert endpoints(token, 1) == {"POST /chat/completions": 1}

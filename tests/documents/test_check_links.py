import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.check_links import AT_ONCE, look, pages

THERE = {"/there": 200, "/moved/there": 301, "/guarded": 403, "/busy": 429}
GONE = {"/gone": 404, "/moved/gone": 301, "/removed": 410, "/failing": 500}
TOGETHER = dict.fromkeys((f"/together/{number}" for number in range(AT_ONCE)), 200)
STATUSES = {**THERE, **GONE, **TOGETHER, "/only-get": 200}


class Handler(BaseHTTPRequestHandler):
    seen: list[tuple[str, str]]
    together: threading.Barrier

    def do_HEAD(self) -> None:
        if self.path.startswith("/together"):
            self.together.wait(30)
        self.answer(405 if self.path == "/only-get" else STATUSES[self.path])

    def do_GET(self) -> None:
        self.answer(STATUSES[self.path])

    def answer(self, status: int) -> None:
        self.seen.append((self.command, self.path))
        self.send_response(status)
        if status == 301:
            self.send_header("Location", self.path.removeprefix("/moved"))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    Handler.seen, Handler.together = [], threading.Barrier(AT_ONCE)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("path", THERE)
def test_what_is_there_is_asked_for_once_without_its_body(site: str, path: str) -> None:
    assert list(look([site + path])) == [(site + path, "")]
    assert Handler.seen[0] == ("HEAD", path)
    assert {method for method, _ in Handler.seen} == {"HEAD"}


def test_a_server_that_does_not_know_head_is_asked_again(site: str) -> None:
    assert list(look([f"{site}/only-get"])) == [(f"{site}/only-get", "")]
    assert Handler.seen == [("HEAD", "/only-get"), ("GET", "/only-get")]


@pytest.mark.parametrize("path", GONE)
def test_what_is_gone_is_told_with_its_status(site: str, path: str) -> None:
    assert list(look([site + path])) == [(site + path, str(STATUSES[path.removeprefix("/moved")]))]


def test_where_nobody_answers_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
    ((told, problem),) = look([url])
    assert told == url
    assert problem.startswith("ConnectError: ")


def test_several_are_asked_for_at_once_and_told_in_their_order(site: str) -> None:
    urls = [site + path for path in TOGETHER]
    assert list(look(urls)) == [(url, "") for url in urls]


def test_pages_of_the_documents_are_elsewhere_and_named_once() -> None:
    found = pages()
    assert "https://semver.org" in found
    assert len(set(found)) == len(found)
    assert not [url for url in found if "#" in url or "127.0.0.1" in url]

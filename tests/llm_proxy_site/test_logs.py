"""Lines of the log: what must not be in them."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import httpx
import pytest
import structlog
from django.conf import settings
from django.template import Context, Template

from llm_proxy_site import logs
from tests.collector import Collector, collecting

TOKEN = "sk-wt-0354SeFxGGFWdhkx2b6OWzZKPhK7U2TYwzRNcvcghDtXUnFJo0iMozf"
Configure = Callable[..., None]
KINDS = pytest.mark.parametrize("style", ["json", "console"])


@contextmanager
def as_it_was() -> Iterator[None]:
    """Afterwards the log is configured as before: loggers keep the very list of processors with which they
    were first used, and tests listen to that.
    """
    before = structlog.get_config()
    try:
        yield
    finally:
        logs.configure(settings.LOGGING)
        structlog.configure(**before)


def line_of(style: str, message: str, *arguments: object) -> str:
    """As a library's line goes out, of a logger of the standard library."""
    with as_it_was():
        logs.configure(logs.logging_config(level="INFO", style=style))
        record = logging.LogRecord("django.request", logging.WARNING, "", 1, message, arguments, None)
        (handler,) = logging.getLogger().handlers[:1]
        return handler.format(record)


@KINDS
def test_a_library_that_names_a_path_names_no_token(style: str) -> None:
    line = line_of(style, "Not Found: %s", f"/files/{TOKEN}/content")
    assert "Not Found: /files/[redacted]/content" in line
    assert TOKEN not in line


def test_what_clients_say_moves_no_cursor() -> None:
    shown = logs._render(
        None, "info", {"event": "request\x1b]0;x", "model": "\x1b[31mred\x9b", "path": "/\x00ä"}
    )
    assert "request\\x1b]0;x" in shown
    assert "model=\\x1b[31mred\\x9b" in shown
    assert "path=/\\x00ä" in shown
    assert all(each.isprintable() or each == "\n" for each in shown)


@KINDS
def test_a_line_that_cannot_be_written_is_lost_and_nothing_else(
    style: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a disk that is full, to whoever wants to say that it is."""
    with as_it_was(), open("/dev/full", "w", buffering=1) as full:  # noqa: PTH123 (a device)
        monkeypatch.setattr(sys, "stderr", full)
        logs.configure(logs.logging_config(level="INFO", style=style))
        structlog.get_logger("test").error("nothing can be written")
        logging.getLogger("test").error("nothing can be written")
        logs.write_lines([b"a request"])
        monkeypatch.undo()
        logs.configure(settings.LOGGING)
        with suppress(OSError):  # of what is left in its buffer
            full.close()


def test_a_traceback_keeps_its_lines() -> None:
    shown = logs._render(None, "error", {"event": "failed", "exception": "Traceback\n  line\x1b[2J\n"})
    assert shown.endswith("failed\nTraceback\n  line\\x1b[2J\n")


@pytest.fixture
def configure() -> Iterator[Configure]:
    """What configures the log as a server of this level does."""
    with as_it_was():
        yield lambda level: logs.configure(logs.logging_config(level=level, style="json"))


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


def test_a_page_that_shows_a_token_tells_it_to_no_log(
    configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    """Django names the whole context of a page for each variable that is not there."""
    configure("DEBUG")
    logging.getLogger("elsewhere").debug("is heard")
    assert Template("{{ plain }}{{ nothing }}").render(Context({"plain": TOKEN})) == TOKEN
    said = capsys.readouterr().err
    assert "is heard" in said
    assert TOKEN not in said


def test_what_others_answer_tells_no_header(
    configure: Configure, collector: Collector, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("DEBUG")
    httpx.post(collector.url, content=b"")
    assert "server" not in capsys.readouterr().err.lower()


@pytest.mark.parametrize("name", logs.LOWEST)
def test_a_library_says_no_more_than_is_configured(configure: Configure, name: str) -> None:
    configure("ERROR")
    assert not logging.getLogger(name).isEnabledFor(logging.WARNING)
    configure("DEBUG")
    assert not logging.getLogger(name).isEnabledFor(logging.DEBUG)

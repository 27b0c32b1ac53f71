"""`python -m tests.check_links`: asks for pages elsewhere that the documents link to; fails if one is gone.

No test does so, for tests speak to this machine alone.
"""

import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx

from tests.documents.blocks import DOCUMENTS, links

AT_ONCE = 8
SECONDS = 20
NOT_FOR_PROGRAMS = {401, 403, 429}
"""What is answered so is there, for people."""


def pages() -> list[str]:
    """Those elsewhere, without the place on them."""
    found = {link.partition("#")[0] for document in DOCUMENTS for link in links(document)}
    return sorted(link for link in found if link.startswith(("https://", "http://")))


def look(urls: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each, in this order, with why it is gone; empty: it is there."""
    with (
        httpx.Client(follow_redirects=True, timeout=SECONDS) as client,
        ThreadPoolExecutor(AT_ONCE) as threads,
    ):
        yield from threads.map(partial(_look_at, client), urls)


def _look_at(client: httpx.Client, url: str) -> tuple[str, str]:
    """By GET where HEAD does not find it: not every server knows HEAD, and some stumble once."""
    return url, _problem(client, "HEAD", url) and _problem(client, "GET", url)


def _problem(client: httpx.Client, method: str, url: str) -> str:
    try:
        with client.stream(method, url) as answer:
            is_there = answer.is_success or answer.status_code in NOT_FOR_PROGRAMS
            return "" if is_there else str(answer.status_code)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    gone = 0
    for url, problem in look(pages()):
        gone += bool(problem)
        sys.stdout.write(f"{problem or 'there'}  {url}\n")
        sys.stdout.flush()
    sys.exit(f"{gone} pages are gone" if gone else 0)

import socket
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from llm_proxy_site.bench.cases import CASES, PATH
from llm_proxy_site.bench.room import raise_file_limit
from llm_proxy_site.bench.targets import our_servers, running_upstream, started
from llm_proxy_site.server.client_limits import DEFAULT_LIMITS


def test_no_bound_on_connections_is_met_before_the_work_is_too_much(tmp_path: Path) -> None:
    """As many streams as are tried come from one address."""
    raise_file_limit()
    with ExitStack() as stack:
        upstream = stack.enter_context(running_upstream())
        for target in stack.enter_context(started(our_servers(upstream, tmp_path))):
            url = urlsplit(target.base_url)
            for _ in range(DEFAULT_LIMITS.max_connections_per_address):
                stack.enter_context(socket.create_connection((url.hostname, url.port)))
            answer = httpx.post(
                target.base_url + PATH, content=CASES["json-1"].body, headers=target.headers, timeout=30
            )
            assert answer.status_code == 200, target.name

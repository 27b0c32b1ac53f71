"""nginx as a reverse proxy that changes the key: what a front server in C takes for the same."""

import shutil
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from llm_proxy_site.bench import UPSTREAM_KEY
from llm_proxy_site.bench.peers.program import Program, free_port, output_of, serving
from llm_proxy_site.bench.room import MAX_CONNECTIONS
from llm_proxy_site.bench.targets import Server, Target

NAME = "nginx"
OWN = 64
"""Connections besides those of clients and to upstream: where it listens, and more."""
_CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 32m;
    keepalive_requests 1000000;
    upstream fake {{ server {upstream}; keepalive {keepalive}; keepalive_requests 1000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://fake;
            proxy_http_version 1.1;
            proxy_buffering off;
            proxy_set_header Connection "";
            proxy_set_header Authorization "Bearer {key}";
        }}
    }}
}}
"""


def version() -> str | None:
    said = output_of(_program(), "-v")
    return said and said.rpartition("/")[2]


def server(upstream: Target, folder: Path) -> Server:
    return Server(NAME, partial(_start, upstream, folder))


def _start(upstream: Target, folder: Path) -> AbstractContextManager[list[Target]]:
    port = free_port()
    file = folder / "nginx.conf"
    file.write_text(
        _CONFIGURATION.format(
            folder=folder,
            upstream=urlsplit(upstream.base_url).netloc,
            port=port,
            key=UPSTREAM_KEY,
            connections=2 * MAX_CONNECTIONS + OWN,
            keepalive=MAX_CONNECTIONS,
        )
    )
    command = (_program(), "-p", str(folder), "-e", "stderr", "-c", str(file))
    target = Target(NAME, f"http://127.0.0.1:{port}/v1", "sk-bench-replaced", pid=0)
    return serving(Program(command, folder, {}), target)


def _program() -> str:
    return shutil.which("nginx") or "/usr/sbin/nginx"

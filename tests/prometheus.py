"""A Prometheus of a test's own, and its promtool."""

import json
import re
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import httpx

CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: llm-proxy
    authorization: {{credentials_file: {token_file}}}
    static_configs: [{{targets: ["{target}"]}}]
"""


class Prometheus:
    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._url = ""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, url: str, token: str) -> None:
        """It scrapes this proxy each second."""
        config, token_file = self._folder / "prometheus.yml", self._folder / "token"
        token_file.write_text(token)
        config.write_text(CONFIG.format(token_file=token_file, target=urlsplit(url).netloc))
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = f"127.0.0.1:{free.getsockname()[1]}"
        self._url = f"http://{address}"
        with (self._folder / "log").open("w") as log:
            self._process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={config}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address={address}",
                ],
                stderr=log,
            )

    def query(self, expression: str) -> float | None:
        """What it comes to now: its first number, or none yet."""
        try:
            answer = httpx.get(f"{self._url}/api/v1/query", params={"query": expression}).json()
        except (httpx.HTTPError, ValueError):
            return None  # it is starting
        assert answer["status"] == "success", answer
        found = answer["data"]["result"]
        return float(found[0]["value"][1]) if found else None

    def check(self, what: str, *arguments: str | Path, text: str = "") -> str:
        """What promtool says of it. It fails for what is merely unusual, too."""
        return self.promtool("check", what, *arguments, text=text)

    def promtool(self, *arguments: str | Path, text: str = "") -> str:
        done = subprocess.run(
            ["promtool", *arguments], input=text, capture_output=True, text=True, timeout=30
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def close(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)


def dashboard_queries(dashboard: Path) -> list[str]:
    """Its panels', as Grafana would ask them of everything."""
    panels = json.loads(dashboard.read_text(encoding="utf-8"))["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    return [re.sub(r"\$__rate_interval", "10s", re.sub(r'"\$\w+"', '".*"', query)) for query in queries]

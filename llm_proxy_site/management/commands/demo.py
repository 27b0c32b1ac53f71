"""`manage.py demo`: the whole product in one command, on embedded defaults and a fake upstream."""

import json
import tempfile
from argparse import ArgumentParser
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from llm_proxy_site.addresses import Address, parse_address
from llm_proxy_site.processes import MANAGE, ChildFailedError, end_as_by_ctrl_c, manage, running

UPSTREAM_KEY = "sk-demo-upstream-key"
LIMITS = ("--max-requests-per-minute", "60", "--daily-budget", "1")


class Command(BaseCommand):
    help = "Set up and serve a demo: SQLite, a fake upstream, a project, a token, lines to paste."
    # It runs the real commands in an environment of its own; they check themselves.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--bind", type=parse_address, default="127.0.0.1:8000", metavar="HOST:PORT")
        parser.add_argument(
            "--data-dir", type=Path, help="keep the demo's data here (default: a temporary folder)"
        )

    def handle(self, *, bind: Address, data_dir: Path | None, **options: Any) -> None:
        end_as_by_ctrl_c()  # to the server alone SIGHUP means to reload
        with ExitStack() as stack:
            folder = data_dir or Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="llm-proxy-demo-"))
            )
            try:
                self._run(stack, bind, folder)
            except ChildFailedError as problem:
                raise CommandError(f"The demo could not start. {problem}") from None
            except KeyboardInterrupt:
                self.stdout.write("\nThe demo ends.")

    def _run(self, stack: ExitStack, bind: Address, folder: Path) -> None:
        _, upstream = stack.enter_context(
            running("-m", "llm_proxy_site.fake_upstream", "--bind", "127.0.0.1:0")
        )
        environment = {
            "DATA_DIR": str(folder),
            "DATABASE_URL": "",
            "LOG_FORMAT": "console",
            "UPSTREAM_BASE_URL": upstream.split()[-1],
        }
        account = json.loads(manage("setup", "--json", environment=environment))["admin"]
        project = _ensure_project(environment)
        issued = manage("create_token", project, "--name", "demo", *LIMITS, "--json", environment=environment)
        server, line = stack.enter_context(
            running(str(MANAGE), "serve", "--bind", str(bind), environment=environment)
        )
        self.stdout.write(
            _welcome(_from_here(line.split()[-1]), account, json.loads(issued)["token"], folder)
        )
        self.stdout.flush()
        if server.wait():
            raise ChildFailedError("The server ended.")


def _ensure_project(environment: dict[str, str]) -> str:
    name = "demo"
    projects = json.loads(manage("list_projects", "--json", environment=environment))
    if all(project["name"] != name for project in projects):
        manage("create_project", name, "--upstream-key", "-", environment=environment, stdin=UPSTREAM_KEY)
    return name


def _from_here(url: str) -> str:
    """Of a server on every address one by which its admin site answers."""
    return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


def _welcome(url: str, account: dict[str, str] | None, token: str, folder: Path) -> str:
    sign_in = f"{account['username']} / {account['password']}" if account else "the account made before"
    return f"""
LLM Proxy demo, with a fake upstream in place of OpenAI. Data: {folder}

  API          {url}/v1
  Admin site   {url}/admin/   ({sign_in})
  Token        {token}
               (expires in 24 h; 60 requests a minute, 1 USD a day)

Paste into another terminal:

curl {url}/v1/chat/completions -H "Authorization: Bearer {token}" -H "Content-Type: application/json" \\
  -d '{{"model": "gpt-4o-mini", "messages": [{{"role": "user", "content": "Hello"}}]}}'

What is left of the token:

curl {url}/token -H "Authorization: Bearer {token}"

Or in Python, with the official SDK:

from openai import OpenAI
client = OpenAI(base_url="{url}/v1", api_key="{token}")
messages = [{{"role": "user", "content": "Hello"}}]
for chunk in client.chat.completions.create(model="gpt-4o-mini", messages=messages, stream=True):
    print(chunk.choices[0].delta.content or "", end="")

Ctrl-C ends the demo.
"""

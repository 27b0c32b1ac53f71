"""Running our commands in tests: in this process, and in one of their own."""

import json
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

from django.core.management import call_command

from llm_proxy_site.processes import MANAGE
from tests.databases import own_database_url


def run(command: str, *arguments: str) -> str:
    """What the command prints, on either stream."""
    printed = StringIO()
    call_command(command, *arguments, stdout=printed, stderr=printed)
    return printed.getvalue()


def run_json(command: str, *arguments: str) -> Any:
    return json.loads(run(command, *arguments, "--json"))


def in_a_process(
    *arguments: str, stdin: str = "", database: Path | None = None
) -> subprocess.CompletedProcess[str]:
    url = f"sqlite:///{database}" if database else own_database_url()
    return subprocess.run(
        [sys.executable, str(MANAGE), *arguments],
        env={**os.environ, "DATABASE_URL": url},
        input=stdin,
        capture_output=True,
        text=True,
    )

"""What all commands have in common."""

import subprocess
import sys

from llm_proxy_site.processes import MANAGE


def test_commands_load_no_server_no_client_and_no_management_api() -> None:
    code = """
import sys
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", "check_config"])
loaded = {"aiohttp", "daphne.server", "httpx", "ninja", "redis", "twisted.internet"} & set(sys.modules)
assert not loaded, loaded
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=MANAGE.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

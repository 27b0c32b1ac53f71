"""A database that has gone silent is noticed: by the system's probes, or by a time-out of the client."""

import json
from pathlib import Path
from typing import Any

import pytest

from llm_proxy_site.processes import manage

TELL = """
import json
from django.conf import settings
print(json.dumps(settings.DATABASES["default"]["OPTIONS"]))
"""


def options(url: str, directory: Path) -> Any:
    environment = {"DATABASE_URL": url, "DATA_DIR": str(directory)}
    return json.loads(manage("shell", "--no-imports", "-c", TELL, environment=environment).splitlines()[-1])


@pytest.mark.parametrize(
    ("url", "name", "value"),
    [
        ("postgres://proxy@127.0.0.1:1/proxy", "keepalives_idle", 10),
        ("postgres://proxy@127.0.0.1:1/proxy?keepalives_idle=60", "keepalives_idle", 60),
        ("postgres://proxy@127.0.0.1:1/proxy?keepalives_idle=60", "connect_timeout", 5),
        ("mysql://proxy@127.0.0.1:1/proxy", "read_timeout", 600),
        ("mysql://proxy@127.0.0.1:1/proxy?read_timeout=60", "read_timeout", 60),
        ("mysql://proxy@127.0.0.1:1/proxy", "charset", "utf8mb4"),
    ],
)
def test_time_outs_are_set_and_can_be_set_in_the_url(url: str, name: str, value: Any, tmp_path: Path) -> None:
    assert options(url, tmp_path)[name] == value

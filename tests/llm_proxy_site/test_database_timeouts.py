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
    ("query", "name", "value"),
    [
        ("", "keepalives_idle", 10),
        ("?keepalives_idle=60", "keepalives_idle", 60),
        ("?keepalives_idle=60", "connect_timeout", 5),
    ],
)
def test_time_outs_of_postgresql_can_be_set_in_the_url(
    query: str, name: str, value: Any, tmp_path: Path
) -> None:
    assert options(f"postgres://proxy@127.0.0.1:1/proxy{query}", tmp_path)[name] == value


@pytest.mark.mysql
@pytest.mark.usefixtures("mysql_installation")  # there is a driver
@pytest.mark.parametrize(
    ("query", "name", "value"),
    [
        ("", "read_timeout", 600),
        ("?read_timeout=60", "read_timeout", 60),
        ("", "charset", "utf8mb4"),
    ],
)
def test_time_outs_of_mysql_can_be_set_in_the_url(query: str, name: str, value: Any, tmp_path: Path) -> None:
    assert options(f"mysql://proxy@127.0.0.1:1/proxy{query}", tmp_path)[name] == value

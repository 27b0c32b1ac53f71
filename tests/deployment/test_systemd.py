"""The unit of docs/deployment.md."""

import configparser
import re
from pathlib import Path

from django.conf import settings

from tests.documents.blocks import blocks

(BLOCK,) = (block for block in blocks("docs/deployment.md", "ini") if "[Service]" in block.text)
EXAMPLES = (Path(settings.BASE_DIR) / ".env.example").read_text(encoding="utf-8")


def unit() -> configparser.SectionProxy:
    parser = configparser.ConfigParser()
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(BLOCK.text)
    return parser["Service"]


def test_what_the_example_settings_write_to_can_be_written() -> None:
    service = unit()
    writable = [
        f"/var/lib/{service['StateDirectory']}",
        f"/var/log/{service['LogsDirectory']}",
        service["ReadWritePaths"].removeprefix("-"),
    ]
    wanted = re.findall(r"^# (?:AUDIT_FILE|SCHEDULE_BACKUP_DIR)=(/.+)", EXAMPLES, re.MULTILINE)

    assert service["ProtectSystem"] == "strict"
    assert len(wanted) == 2
    assert [path for path in wanted if not path.startswith(tuple(writable))] == []


def test_a_migration_has_the_time_that_it_takes() -> None:
    service = unit()

    assert service["ExecStartPre"].endswith("setup --without-admin")
    assert service["TimeoutStartSec"] == "infinity"


def test_commands_work_on_the_same_data() -> None:
    """They read `.env`, and not the unit."""
    assert "Environment" not in unit()
    assert "`DATA_DIR=/var/lib/llm-proxy`" in (Path(settings.BASE_DIR) / BLOCK.document).read_text("utf-8")

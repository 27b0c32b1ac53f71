"""Programs that may do no more than others with files: of root, too."""

import os
import subprocess
import sys
from pathlib import Path

from llm_proxy_site.processes import MANAGE


def run_without_rights(script: str, file: Path, *, folder_mode: int) -> str:
    """What a Python script prints that gets the file as its argument, while its folder has this mode."""
    as_others = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"] if os.geteuid() == 0 else []
    file.parent.chmod(folder_mode)
    try:
        done = subprocess.run(
            [*as_others, sys.executable, "-c", script, str(file)],
            cwd=MANAGE.parent,
            capture_output=True,
            text=True,
        )
    finally:
        file.parent.chmod(0o700)
    return done.stdout.strip() or done.stderr

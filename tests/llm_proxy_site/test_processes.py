import subprocess
import sys

import psutil

from llm_proxy_site.processes import MANAGE

INTERRUPTED = """
import signal, subprocess
from llm_proxy_site import processes

class Interrupted(subprocess.Popen):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        print(self.pid, flush=True)
        signal.raise_signal(signal.SIGTERM)

subprocess.Popen = Interrupted
processes.end_as_by_ctrl_c()
with processes.running("-c", "import time; time.sleep(60)"):
    pass
"""


def test_a_child_that_is_being_made_when_an_interruption_comes_is_ended() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], cwd=MANAGE.parent, capture_output=True, text=True, timeout=60
    )
    assert done.stderr.endswith("KeyboardInterrupt\n")
    assert not psutil.pid_exists(int(done.stdout))

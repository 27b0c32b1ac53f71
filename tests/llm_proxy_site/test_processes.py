import signal
import subprocess
import sys

import psutil
import pytest

from llm_proxy_site.processes import MANAGE

INTERRUPTED = """
import signal, subprocess, sys
from llm_proxy_site import processes

class Interrupted(subprocess.Popen):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        print(self.pid, flush=True)
        signal.raise_signal(int(sys.argv[1]))

subprocess.Popen = Interrupted
processes.end_as_by_ctrl_c()
with processes.running("-c", "import time; time.sleep(60)"):
    pass
"""
INTERRUPTED_IN_VAIN = """
import signal, subprocess
from llm_proxy_site import processes

def fail(*arguments, **options):
    signal.raise_signal(signal.SIGTERM)
    raise FileNotFoundError("no such program")

subprocess.Popen = fail
processes.end_as_by_ctrl_c()
try:
    with processes.running("-c", "pass"):
        pass
except FileNotFoundError:
    print("it went on")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_child_that_is_being_made_when_an_interruption_comes_is_ended(number: signal.Signals) -> None:
    done = _run(INTERRUPTED, str(number.value))
    assert done.stderr.endswith("KeyboardInterrupt\n")
    assert not psutil.pid_exists(int(done.stdout))


def test_an_interruption_is_not_forgotten_where_no_child_can_be_made() -> None:
    done = _run(INTERRUPTED_IN_VAIN)
    assert done.stderr.endswith("KeyboardInterrupt\n")
    assert done.stdout == ""


def _run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, cwd=MANAGE.parent, capture_output=True, text=True, timeout=60)

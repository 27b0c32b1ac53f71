#!/usr/bin/env python
"""Entry point of every command: `python manage.py help` lists them."""

import gc
import os
import signal
import sys

if __name__ == "__main__":
    # A start makes a hundred thousand objects and no garbage: to look for it took a seventh of the time.
    gc.set_threshold(20_000)
    if "serve" in sys.argv[1:2]:
        # Who asks for a reload while the server starts has it, and must not end it: a start takes a second.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        if os.getpid() == 1:
            # The first process of a container gets no signal that it does not handle: there is no server yet.
            signal.signal(signal.SIGTERM, lambda number, frame: os._exit(128 + number))

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llm_proxy_site.settings")
    execute_from_command_line(sys.argv)

#!/usr/bin/env python
"""Entry point of every command: `python manage.py help` lists them."""

import os
import signal
import sys

if __name__ == "__main__" and "serve" in sys.argv[1:2]:
    # Who asks for a reload while the server starts has it, and must not end it: Django alone takes a second.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llm_proxy_site.settings")
    execute_from_command_line(sys.argv)

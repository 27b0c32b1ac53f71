"""Where the figures come from: they mean little without."""

import os
import platform
from importlib.metadata import version
from typing import Any

LIBRARIES = ("aiohttp", "channels", "daphne", "Django", "httpx", "msgspec", "structlog", "Twisted")


def machine_facts() -> dict[str, Any]:
    return {
        "cpus": os.cpu_count(),
        "load_average": os.getloadavg(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
    }

"""A pytest plugin, loaded before Django reads its settings: a data directory and secrets for the tests.

Worker processes inherit the first process's values, and so share one data directory.
"""

import gc
import os
import ssl
import tempfile
from functools import cache
from typing import Any

import certifi
from cryptography.fernet import Fernet
from hypothesis import settings

os.environ.setdefault("DATA_DIR", tempfile.mkdtemp(prefix="llm-proxy-tests-"))
os.environ.setdefault("SECRET_KEY", "only-for-tests-" * 4)
os.environ.setdefault("ENCRYPTION_KEYS", Fernet.generate_key().decode())
os.environ.setdefault("LOG_LEVEL", "WARNING")
# Which server answers in all tests that start one; `make test-uvicorn` runs those on the other.
os.environ.setdefault("SERVER", os.environ.get("TEST_SERVER", "daphne"))

# A shared machine may take its time; how long a test may take is not what property tests are about.
settings.register_profile("llm_proxy", deadline=None)
settings.load_profile("llm_proxy")

# As our server has it: to look at all that is imported so often took the collector a fifth of the time.
gc.set_threshold(20_000, 20, 50)

_make_context = ssl.create_default_context
_USUAL_FILES = {certifi.where(), os.environ.get("SSL_CERT_FILE")}


@cache
def _context_of_clients(cafile: str) -> ssl.SSLContext:
    return _make_context(cafile=cafile)


def _kept_context(*arguments: Any, **options: Any) -> ssl.SSLContext:
    """Every HTTP client makes one, also for plain HTTP, and reads a hundred certificates for it: 30 ms."""
    if not arguments and options.keys() == {"cafile"} and options["cafile"] in _USUAL_FILES:
        return _context_of_clients(options["cafile"])
    return _make_context(*arguments, **options)


ssl.create_default_context = _kept_context

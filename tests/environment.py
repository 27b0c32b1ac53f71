"""A pytest plugin, loaded before Django reads its settings: a data directory and secrets for the tests.

Worker processes inherit the first process's values, and so share one data directory.
"""

import os
import tempfile

from cryptography.fernet import Fernet

os.environ.setdefault("DATA_DIR", tempfile.mkdtemp(prefix="llm-proxy-tests-"))
os.environ.setdefault("SECRET_KEY", "only-for-tests-" * 4)
os.environ.setdefault("ENCRYPTION_KEYS", Fernet.generate_key().decode())
os.environ.setdefault("LOG_LEVEL", "WARNING")

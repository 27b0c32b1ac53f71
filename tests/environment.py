"""A pytest plugin, loaded before Django reads its settings: a data directory and secrets for the tests.

Worker processes inherit the first process's values, and so share one data directory.
"""

import os
import tempfile

from cryptography.fernet import Fernet
from hypothesis import settings

os.environ.setdefault("DATA_DIR", tempfile.mkdtemp(prefix="llm-proxy-tests-"))
os.environ.setdefault("SECRET_KEY", "only-for-tests-" * 4)
os.environ.setdefault("ENCRYPTION_KEYS", Fernet.generate_key().decode())
os.environ.setdefault("LOG_LEVEL", "WARNING")

# A shared machine may take its time; how long a test may take is not what property tests are about.
settings.register_profile("llm_proxy", deadline=None)
settings.load_profile("llm_proxy")

"""A look-alike of OpenAI's API for demo, tests and benchmark: deterministic, fast, and broken on request.

The same request is always answered with the same bytes, so that a direct and a proxied answer compare equal.
"""

from .app import create_app, running, serve
from .patterns import pattern, pattern_sha256

__all__ = ["create_app", "pattern", "pattern_sha256", "running", "serve"]

"""How deep a document is that cannot be read."""

import sys

TOO_DEEP = 100_000 if sys.version_info < (3, 14) else 1_000_000
"""Since 3.14 what can be read depends on the stack."""

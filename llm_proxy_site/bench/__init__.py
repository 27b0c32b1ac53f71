"""The benchmark: upstream itself, a bare pass-through, and the whole proxy under one load, in one run."""

UPSTREAM_KEY = "sk-bench-upstream-key"
"""What the pass-through and the proxy show to the fake upstream, which takes any such key."""

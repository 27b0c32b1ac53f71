"""What is freed by reference counting alone."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collection() -> Iterator[None]:
    """Within, what is in a ring stays."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()

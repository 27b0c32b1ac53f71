"""Whether this process is on its way out: set once by the server, asked by `/ready`."""

_draining = False


def begin_draining() -> None:
    global _draining
    _draining = True


def is_draining() -> bool:
    return _draining

"""Whether this process is on its way out: set once by the server, asked by `/ready`."""

_leaving = False
_draining = False


def begin_leaving() -> None:
    """No connection serves another request after the next one."""
    global _leaving
    _leaving = True


def is_leaving() -> bool:
    return _leaving


def begin_draining() -> None:
    """And nobody takes its place: load balancers should look for another."""
    global _draining
    _draining = True


def is_draining() -> bool:
    return _draining

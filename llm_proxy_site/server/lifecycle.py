"""Whether this process is on its way out, and how far: set by the server, asked by `/ready` and others."""

_leaving = False
_draining = False
_cutting_off = False


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


def begin_cutting_off() -> None:
    """And nothing is waited for any more: a connection ends with its answer, whatever was said of it."""
    global _cutting_off
    _cutting_off = True


def is_cutting_off() -> bool:
    return _cutting_off

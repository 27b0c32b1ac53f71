"""How many WebSockets may be open, and who is told when the server stops."""

import pytest
from uuid_utils.compat import uuid7

from proxy.errors import RateLimitReached
from proxy.websockets.open_sockets import OpenSockets
from tests.grants import make_grant
from tokens.limits.values import Limits


class Told:
    is_told = False

    def restart(self) -> None:
        self.is_told = True


def test_a_token_and_a_project_have_as_many_open_as_requests_may_run() -> None:
    sockets = OpenSockets()
    grant = make_grant(
        token_limits=Limits(max_concurrent_requests=2), project_limits=Limits(max_concurrent_requests=5)
    )
    sockets.enter(grant)
    sockets.enter(grant)
    with pytest.raises(RateLimitReached, match="2 concurrent"):
        sockets.enter(grant)
    sockets.leave(grant)
    sockets.enter(grant)


def test_without_a_limit_there_is_none() -> None:
    sockets = OpenSockets()
    for _ in range(100):
        sockets.enter(make_grant())


def test_all_are_told_of_a_restart_also_those_that_come_late() -> None:
    sockets, open_one, left, late = OpenSockets(), Told(), Told(), Told()
    left_id = uuid7()
    sockets.add(uuid7(), open_one)
    sockets.add(left_id, left)
    sockets.discard(left_id)
    sockets.restart()
    sockets.add(uuid7(), late)
    assert (open_one.is_told, left.is_told, late.is_told) == (True, False, True)

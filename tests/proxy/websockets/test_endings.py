"""What is said when a WebSocket ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import TokenExpired
from proxy.websockets import endings
from proxy.websockets.client import SocketClosed, is_sendable, truncated


@given(st.text())
def test_a_reason_fits_into_a_close_frame_and_stays_text(reason: str) -> None:
    said = truncated(reason)
    assert len(said.encode()) <= 123
    assert reason.startswith(said)


@pytest.mark.parametrize("code", [1004, 1005, 1006, 1015, 999, 2999, 5000])
def test_what_no_frame_may_carry_is_not_passed_on(code: int) -> None:
    assert not is_sendable(code)
    assert endings.by_client(SocketClosed(code, "")).upstream_code in (1000, 1001)
    assert endings.by_upstream(code, "").code in (1000, 1011)


def test_an_abnormal_end_is_never_a_clean_one() -> None:
    assert endings.by_upstream(1006, "").code == 1011
    assert endings.upstream_broke_off().code == 1011
    assert endings.by_client(SocketClosed(1006, "")).outcome == "client_closed"


def test_an_end_without_a_code_is_clean() -> None:
    assert endings.by_upstream(1005, "").code == 1000
    assert endings.by_client(SocketClosed(1005, "")).outcome == "completed"


def test_a_refusal_says_why() -> None:
    ending = endings.refused(TokenExpired())
    assert (ending.code, ending.error_code) == (1008, "token_expired")
    assert ending.reason.startswith("token_expired: ")

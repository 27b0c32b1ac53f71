"""Whose trace a request belongs to, by what its client says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.tracing.context import MAX_STATE_BYTES, Parent, parent_header, read_parent

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
VALID = f"00-{TRACE}-{SPAN}-01".encode()


def parent_of(*values: bytes, state: tuple[bytes, ...] = ()) -> Parent | None:
    return read_parent(
        [
            (b"host", b"x"),
            *((b"traceparent", each) for each in values),
            *((b"tracestate", each) for each in state),
        ]
    )


def test_a_parent_is_read_and_told_again() -> None:
    parent = parent_of(VALID, state=(b"a=1", b"b=2"))

    assert parent == Parent(bytes.fromhex(TRACE), bytes.fromhex(SPAN), True, "a=1,b=2")
    assert parent_header(parent.trace_id, parent.span_id, is_sampled=True) == VALID
    assert parent_header(parent.trace_id, parent.span_id, is_sampled=False) == VALID[:-1] + b"0"


@pytest.mark.parametrize(
    ("value", "is_sampled"),
    [
        (VALID, True),
        (b" " + VALID + b" ", True),
        (VALID[:-2] + b"00", False),
        (VALID[:-2] + b"03", True),
        (VALID[:-2] + b"fe", False),
        (b"cc" + VALID[2:] + b"-what-comes-later", True),
    ],
)
def test_flags_that_are_not_known_and_later_versions_do_no_harm(value: bytes, is_sampled: bool) -> None:
    assert parent_of(value).is_sampled is is_sampled


@pytest.mark.parametrize(
    "values",
    [
        (),
        (b"",),
        (VALID, VALID),
        (b"ff" + VALID[2:],),
        (VALID.upper(),),
        (VALID + b"-more",),
        (VALID + b"0",),
        (VALID[:-1],),
        (f"00-{'0' * 32}-{SPAN}-01".encode(),),
        (f"00-{TRACE}-{'0' * 16}-01".encode(),),
        (VALID.replace(b"-", b"_"),),
    ],
)
def test_what_is_no_parent_begins_a_trace(values: tuple[bytes, ...]) -> None:
    assert parent_of(*values, state=(b"a=1",)) is None


def test_a_state_that_is_too_long_is_dropped() -> None:
    assert parent_of(VALID, state=(b"a=" + b"1" * MAX_STATE_BYTES,)).state == ""


@given(st.binary())
def test_nothing_that_clients_send_is_an_error(value: bytes) -> None:
    parent_of(value, state=(value,))
    parent_of(VALID, state=(value,))

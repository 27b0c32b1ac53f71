import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.metering.splice import asking_for_usage

ASKS = b'"stream_options":{"include_usage":true},'


@pytest.mark.parametrize(
    ("body", "asking"),
    [
        (b'{"stream":true}', b"{" + ASKS + b'"stream":true}'),
        (b' \n{ "model" : "m", "stream": true }\n', b" \n{" + ASKS + b' "model" : "m", "stream": true }\n'),
        (
            b'{"stream":true,"messages":["\\"stream_options\\"", "stream"]}',
            b"{" + ASKS + b'"stream":true,"messages":["\\"stream_options\\"", "stream"]}',
        ),
        (
            b'{"stream":true,"tool":{"stream":false,"stream_options":{}}}',
            b"{" + ASKS + b'"stream":true,"tool":{"stream":false,"stream_options":{}}}',
        ),
        (
            b'{"stream":true,"stream_options":null}',
            b'{"stream":true,"stream_options":{"include_usage":true}}',
        ),
        (
            b'{"stream":true,"stream_options":{ }}',
            b'{"stream":true,"stream_options":{"include_usage":true }}',
        ),
        (
            b'{"stream_options": {"include_obfuscation":false}, "stream":true}',
            b'{"stream_options": {"include_usage":true,"include_obfuscation":false}, "stream":true}',
        ),
        (
            b'{"stream_options":{"include_usage" : false},"stream":true}',
            b'{"stream_options":{"include_usage" : true},"stream":true}',
        ),
        (
            b'{"stream_options":{"include_usage":null},"stream":true}',
            b'{"stream_options":{"include_usage":true},"stream":true}',
        ),
        (
            b'{"\\u0073tream_options":{"include_usage":false},"stream":true}',
            b'{"\\u0073tream_options":{"include_usage":true},"stream":true}',
        ),
    ],
)
def test_a_stream_is_asked_for_its_usage_by_one_splice(body: bytes, asking: bytes) -> None:
    assert asking_for_usage(body) == asking


@pytest.mark.parametrize(
    "body",
    [
        b'{"stream":true,"stream_options":{"include_usage":true}}',
        b'{"stream":true,"stream_options":{"include_usage":1}}',
        b'{"stream":true,"stream_options":{"include_usage":false,"include_usage":false}}',
        b'{"stream":true,"stream_options":{"include_usage":false,"include_us\\u0061ge":false}}',
        b'{"stream":true,"stream_options":{"continuous_usage_stats":true}}',
        b'{"stream":true,"stream_options":{"include_usage":false,"continuous_usage_stats":true}}',
        b'{"stream":true,"stream_options":[]}',
        b'{"stream":true,"stream_options":"include_usage"}',
        b'{"stream":true,"stream_options":{},"stream_options":{}}',
        b'{"stream":false,"stream":true}',
        b'{"stream":false,"str\\u0065am":true}',
    ],
)
def test_what_asks_already_or_is_not_certain_is_left_alone(body: bytes) -> None:
    assert asking_for_usage(body) is None


TEXT = st.text() | st.sampled_from(["stream", "stream_options", "include_usage", '"stream"', "{", "\\"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)


@given(
    members=st.dictionaries(TEXT.filter(lambda name: name not in ("stream", "stream_options")), VALUES),
    options=st.none()
    | st.dictionaries(st.sampled_from(["include_usage", "include_obfuscation"]), st.booleans()),
    has_options=st.booleans(),
    ascii_only=st.booleans(),
    indent=st.none() | st.integers(0, 2),
)
def test_the_body_says_the_same_but_for_the_question(
    members: dict[str, Any],
    options: dict[str, bool] | None,
    has_options: bool,
    ascii_only: bool,
    indent: int | None,
) -> None:
    wanted = {**members, "stream": True, **({"stream_options": options} if has_options else {})}
    body = json.dumps(wanted, ensure_ascii=ascii_only, indent=indent).encode()
    asking = asking_for_usage(body)

    if has_options and options and options.get("include_usage"):
        assert asking is None
    else:
        assert asking is not None
        options = (options if has_options else None) or {}
        assert json.loads(asking) == {**wanted, "stream_options": {**options, "include_usage": True}}


LARGE = b'"messages":"' + b"a" * 2**20 + b'"'


@pytest.mark.parametrize(
    ("body", "is_asking"),
    [
        (b'{"stream":true, ' + LARGE + b"}", True),
        (b'{"stream":true,"tool":{"stream_options":{}},' + LARGE + b"}", True),
        (b'{"stream":true,' + LARGE + b',"stream":true}', False),
        (b'{"stream":true,' + LARGE + b',"stream_options":{"include_usage":true}}', False),
        (b'{"stream":true, "\xff":1,' + LARGE + b"}", True),
        (b'{"stream":true,' + LARGE + b',"stream_option\\u0073":{"include_usage":true}}', False),
    ],
)
def test_a_large_body_is_asked_as_a_small_one(body: bytes, is_asking: bool) -> None:
    assert asking_for_usage(body) == (b"{" + ASKS + body[1:] if is_asking else None)

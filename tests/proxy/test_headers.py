import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.headers import HOP_BY_HOP, is_form, media_type, to_client, to_upstream, upstream_headers

names = st.text(string.ascii_lowercase + "-", min_size=1, max_size=20).map(str.encode)
values = st.binary(max_size=40)


@given(st.lists(st.tuples(names.map(lambda name: b"y-" + name), values)))
def test_what_has_no_rule_passes_in_order_with_duplicates(headers: list[tuple[bytes, bytes]]) -> None:
    assert to_upstream(headers, "k")[:-2] == headers
    assert to_client(headers, "id")[:-1] == headers


@given(st.sampled_from(sorted(HOP_BY_HOP)), values)
def test_hop_by_hop_headers_never_pass(name: bytes, value: bytes) -> None:
    assert name not in dict(to_upstream([(name, value)], "k"))
    assert name not in dict(to_client([(name.title(), value)], "id"))


def test_headers_named_by_connection_do_not_pass() -> None:
    headers = [(b"connection", b"close, X-Secret"), (b"x-secret", b"1"), (b"x-other", b"2")]

    assert [name for name, _ in to_upstream(headers, "k")] == [
        b"x-other",
        b"authorization",
        b"accept-encoding",
    ]
    assert [name for name, _ in to_client(headers, "id")] == [b"x-other", b"x-llm-proxy-request-id"]


@pytest.mark.parametrize("name", [b"content-type", b"content-length", b"content-encoding"])
def test_how_a_body_is_read_is_not_for_a_connection_to_say(name: bytes) -> None:
    headers = [(b"connection", name.title() + b", close"), (name, b"1")]

    assert (name, b"1") in to_upstream(headers, "k")
    assert (name, b"1") in to_client(headers, "id")


@pytest.mark.parametrize(
    "name",
    [
        b"api-key",
        b"cookie",
        b"expect",
        b"forwarded",
        b"host",
        b"openai-organization",
        b"openai-project",
        b"origin",
        b"referer",
        b"true-client-ip",
        b"via",
        b"x-api-key",
        b"x-real-ip",
        b"x-forwarded-for",
        b"x-forwarded-anything",
        b"x-llm-proxy-anything",
        b"cf-connecting-ip",
        b"client-ip",
        b"cloudfront-viewer-address",
        b"fastly-client-ip",
        b"fly-client-ip",
        b"proxy-client-ip",
        b"x-appengine-user-ip",
        b"x-azure-clientip",
        b"x-azure-socketip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"x-envoy-external-address",
        b"x-original-forwarded-for",
        b"x-vercel-ip-city",
    ],
)
def test_what_is_the_clients_own_does_not_reach_upstream(name: bytes) -> None:
    assert name not in dict(to_upstream([(name, b"value")], "k"))


def test_the_upstream_key_takes_the_tokens_place() -> None:
    headers = [(b"authorization", b"Bearer token"), (b"authorization", b"Bearer again")]

    assert [value for name, value in to_upstream(headers, "key") if name == b"authorization"] == [
        b"Bearer key"
    ]


GATEWAY = upstream_headers(
    key_name="x-key", key_scheme="", dropped=["x-drop"], added=[("x-set", "ours"), ("openai-project", "ours")]
)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"x-key", b"authorization", b"x-drop", b"x-set", b"openai-project", b"x-other"]),
            st.just(b"clients"),
        )
    )
)
def test_a_client_has_no_say_in_what_its_provider_rules(headers: list[tuple[bytes, bytes]]) -> None:
    others = [header for header in headers if header[0] == b"x-other"]
    key, encoding = (b"x-key", b"key"), (b"accept-encoding", b"identity")
    ours, projects = (b"x-set", b"ours"), (b"openai-project", b"projects")

    assert to_upstream(headers, "key", GATEWAY) == [
        *others,
        key,
        encoding,
        ours,
        (b"openai-project", b"ours"),
    ]
    assert to_upstream(headers, "key", GATEWAY, (projects,)) == [*others, key, encoding, projects, ours]


@pytest.mark.parametrize(
    ("accepted", "asked"),
    [
        (None, b"identity"),
        (b"", b"identity"),
        (b"br, zstd", b"identity"),
        (b"gzip, deflate, br", b"gzip"),
        (b"br;q=1.0, GZIP;q=0.5", b"gzip"),
        (b"gzip;q=0", b"identity"),
        (b"gzip; q=0.000", b"identity"),
    ],
)
def test_upstream_is_asked_for_an_encoding_that_the_meter_reads(accepted: bytes | None, asked: bytes) -> None:
    headers = [] if accepted is None else [(b"accept-encoding", accepted)]

    assert dict(to_upstream(headers, "k"))[b"accept-encoding"] == asked


@pytest.mark.parametrize(
    "name", [b"Set-Cookie", b"Alt-Svc", b"Clear-Site-Data", b"Strict-Transport-Security"]
)
def test_upstreams_word_about_its_own_origin_does_not_reach_the_client(name: bytes) -> None:
    assert to_client([(name, b"value")], "id") == [(b"x-llm-proxy-request-id", b"id")]


@pytest.mark.parametrize(
    ("value", "media"),
    [
        (b"application/json", b"application/json"),
        (b"Application/JSON; charset=utf-8", b"application/json"),
        (b" text/event-stream ;x", b"text/event-stream"),
        (b"", b""),
    ],
)
def test_the_media_type_has_no_parameters(value: bytes, media: bytes) -> None:
    assert media_type([(b"content-type", value)]) == media
    assert media_type([]) == b""


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ([b"multipart/form-data; boundary=x"], True),
        ([b"Multipart/Form-Data;boundary=x"], True),
        ([], False),
        ([b"application/json"], False),
        ([b"multipart/form-data; boundary=x", b"application/json"], False),
        ([b"multipart/form-data; boundary=x", b"multipart/form-data; boundary=x"], False),
        ([b"multipart/form-data; boundary=x, application/json"], False),
        ([b"multipart/form-data, application/json"], False),
    ],
)
def test_a_form_has_one_content_type(types: list[bytes], expected: bool) -> None:
    assert is_form([(b"content-type", value) for value in types]) is expected

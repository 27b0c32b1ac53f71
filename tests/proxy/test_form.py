"""Forms are read strictly: what one reader forgives, another reads otherwise."""

from email.parser import BytesParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projects.ruleset import Names, name_tree
from proxy.document import read_document
from proxy.errors import BadRequest

NAMES: Names = name_tree(["model", "n", "include[]", "chunking_strategy.type"])
TYPE = b"multipart/form-data; boundary=xyz"
FILE = b'Content-Disposition: form-data; name="file"; filename="a.mp3"\r\nX: y\r\n\r\n\x00\xff\r\n'


def part(name: str, text: str, *, more: str = "", headers: str = "") -> bytes:
    return f'Content-Disposition: form-data; name="{name}"{more}\r\n{headers}\r\n{text}\r\n'.encode()


def form(*parts: bytes, end: bytes = b"--xyz--\r\n") -> bytes:
    return b"".join(b"--xyz\r\n" + each for each in parts) + end


def read(body: bytes, content_type: bytes = TYPE) -> dict[str, Any]:
    document = read_document([(b"content-type", content_type)], body, NAMES)
    assert document.is_form
    return document.values


@pytest.mark.parametrize(
    ("body", "values"),
    [
        (form(FILE, part("model", "whisper-1")), {"model": ["whisper-1"]}),
        (form(part("include[]", "a"), part("include[]", "b")), {"include": ["a", "b"]}),
        (form(part("chunking_strategy[type]", "x")), {"chunking_strategy": {"type": ["x"]}}),
        (form(part("chunking_strategy", '{"type":"x","y":1}')), {"chunking_strategy": [{"type": "x"}]}),
        (form(part("chunking_strategy", "auto")), {"chunking_strategy": ["auto"]}),
        (form(part("model", "é", headers="Content-Type: text/plain; charset=utf-8\r\n")), {"model": ["é"]}),
        (form(part("file", "x", more="; filename*=utf-8''x"), end=b"--xyz--"), {}),
        (form(b"Content-Disposition: form-data; name=model\r\n\r\na\r\n"), {"model": ["a"]}),
        (
            form(part("model", "a", headers="Content-Type: text/plain; charset=ISO-8859-1\r\n")),
            {"model": ["a"]},
        ),
        (form(part("other", ""), part("other", "")), {}),
        (form(end=b"--xyz--"), {}),
    ],
)
def test_what_is_certain_is_read(body: bytes, values: dict[str, Any]) -> None:
    assert read(body) == values


@pytest.mark.parametrize(
    "boundary", [b'"a b"', b"", b"a; boundary=b", b"a; x=y", b'"a', b"a\\", b"a" * 71, b"a,b"]
)
def test_a_doubtful_boundary_is_refused(boundary: bytes) -> None:
    with pytest.raises(BadRequest):
        read(form(part("model", "a")), b"multipart/form-data; boundary=" + boundary)


MODEL = part("model", "a")


@pytest.mark.parametrize(
    "body",
    [
        form(MODEL, MODEL),
        form(MODEL, part("model[]", "b")),
        form(part("model[]", "b"), MODEL),
        form(part("model[0]", "a"), part("model[0]", "b")),
        form(part("Model", "a")),
        form(part("chunking_strategy[Type]", "x")),
        form(part("chunking_strategy", "x"), part("chunking_strategy[type]", "y")),
        form(part("chunking_strategy", '{"type":"x","type":"y"}')),
        form(part("model", "a", more='; filename="f"')),
        form(part("model", "a", more="; filename*=utf-8''f")),
        form(part("model", "a", more='; name="file"')),
        form(part("model", "a", more="; name*=utf-8''file")),
        form(part("mod%65l", "a")),
        form(part("mod\\el", "a")),
        form(part(" model", "a")),
        form(b"Content-Disposition: form-data; name=model\r\n\r\na\r\n", MODEL),
        form(b"Content-Disposition: form-data; name=m%6fdel\r\n\r\na\r\n"),
        form(part("model", "\u00e9", headers="Content-Type: text/plain; charset=iso-8859-1\r\n")),
        form(b"Content-Disposition: form-data;\r\n name=\"model\"\r\n\r\na\r\n"),
        form(b'Content-Disposition: attachment; name="model"\r\n\r\na\r\n'),
        form(part("x", "a", headers='Content-Disposition: form-data; name="model"\r\n')),
        form(b"Content-Type: text/plain\r\n\r\na\r\n"),
        form(b'content-disposition: form-data; name="x"\n\nmodel\r\n'),
        form(part("model", "YQ==", headers="Content-Transfer-Encoding: base64\r\n")),
        form(part("model", "+AG0-", headers="Content-Type: text/plain; charset=utf-7\r\n")),
        form(part("_charset_", "utf-7")),
        form(part("x", "", headers="Content-Type: multipart/mixed; boundary=y\r\n")),
        form(part("model", "x" * 2**20 + "x")),
        form(MODEL, end=b""),
        form(MODEL, end=b"--xyz\r\n"),
        form(MODEL, end=b"--xyz--\r\nmore"),
        form(MODEL, end=b"--xyz--\r\n--xyz\r\n" + MODEL + b"--xyz--"),
        b"preamble\r\n" + form(MODEL),
        b"\r\n" + form(MODEL),
        form(MODEL).replace(b"\r\n", b"\n"),
        form(MODEL).replace(b"--xyz\r\n", b"--xyz \r\n"),
        form(part("x", "y\n--xyz\nContent-Disposition: form-data; name=\"model\"\n\nb")),
        form(part("x", "y--xyz")),
        form(part("x", "y\r\n--xyzz")),
        form(MODEL, b"\r\n"),
        b"--xyz\r\n--xyz--",
        b"--xyz--xyz",
        b"--xyz",
        b"--",
        b'{"model":"a"}',
        form(b'Content-Disposition: form-data; name="model"\r\n\r\n\xff\r\n'),
        form(*[part("x", "")] * 1001),
        form(part("x", "", headers=f"X: {'y' * 9000}\r\n")),
    ],
)  # fmt: skip
def test_a_doubtful_form_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        read(body)


@given(
    st.lists(st.tuples(st.sampled_from(["model", "n", "x", "file"]), st.binary(max_size=12)), max_size=4),
    st.binary(max_size=10),
    st.integers(0, 300),
)
def test_another_reader_finds_the_same_in_what_is_read(
    fields: list[tuple[str, bytes]], noise: bytes, position: int
) -> None:
    body = form(*[part(name, "").removesuffix(b"\r\n") + text + b"\r\n" for name, text in fields])
    body = body[:position] + noise + body[position:]
    try:
        values = read(body)
    except BadRequest:
        return
    message = BytesParser().parsebytes(b"Content-Type: " + TYPE + b"\r\n\r\n" + body)
    others = [each for each in message.get_payload() if isinstance(message.get_payload(), list)]
    named = [each for each in others if each.get_param("name", header="content-disposition") == "model"]
    assert [each.get_payload(decode=True).decode() for each in named] == values.get("model", [])

import hashlib

import pytest

from llm_proxy_site.fake_upstream.errors import ApiError
from llm_proxy_site.fake_upstream.multipart import Form, FormReader, Upload

CONTENT = b"a\r\n--b\r\n\r\n--boundar\x00\xff"
BODY = (
    b'preamble\r\n--boundary\r\nContent-Disposition: form-data; name="file"; filename="f.bin"\r\n'
    b"Content-Type: application/octet-stream\r\n\r\n" + CONTENT + b"\r\n--boundary\r\n"
    b'content-disposition: form-data; name="empty"\r\n\r\n\r\n--boundary\r\n'
    b'Content-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n--boundary--\r\nepilogue'
)
FORM = Form(
    fields={"empty": "", "purpose": "user_data"},
    files={"file": Upload("f.bin", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())},
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, len(BODY)])
def test_a_form_reads_the_same_in_pieces_of_any_size(size: int) -> None:
    reader = FormReader("boundary")
    for start in range(0, len(BODY), size):
        reader.feed(BODY[start : start + size])

    assert reader.form == FORM


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no boundary",
        b"--boundary\r\nContent-Disposition: form-data; name=a\r\n\r\nunfinished",
        b"--boundaryX\r\n\r\n\r\n--boundary--",
        b"--boundary\r\nContent-Type: text/plain\r\n\r\nno name\r\n--boundary--",
        b"--boundary\r\n" + b"x" * 20_000,
    ],
)
def test_a_malformed_form_is_refused(body: bytes) -> None:
    with pytest.raises(ApiError, match="multipart"):
        _read(body)


def test_a_field_that_is_no_file_is_bounded() -> None:
    reader = FormReader("boundary")
    reader.feed(b"--boundary\r\nContent-Disposition: form-data; name=a\r\n\r\n")

    with pytest.raises(ApiError, match="too large"):
        reader.feed(b"x" * 2_000_000)


def _read(body: bytes) -> Form:
    reader = FormReader("boundary")
    reader.feed(body)
    return reader.form

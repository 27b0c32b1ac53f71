from llm_proxy_site.server.answer_head import AnswerHead

STATUS = b"HTTP/1.1 200 OK"


def lines_of(*headers: tuple[bytes, bytes], is_chunked: bool = False, is_last: bool = False) -> list[bytes]:
    text = AnswerHead(headers).text(STATUS, is_chunked=is_chunked, is_last=is_last)
    assert text.endswith(b"\r\n\r\n")
    return text.removesuffix(b"\r\n\r\n").split(b"\r\n")


def test_headers_go_out_in_their_order_as_often_as_they_are_there() -> None:
    headers = (b"b", b"1"), (b"A", b"2"), (b"b", b"3")

    assert lines_of(*headers) == [STATUS, b"b: 1", b"A: 2", b"b: 3"]


def test_a_length_is_known_however_it_is_spelt() -> None:
    assert AnswerHead([(b"Content-Length", b"3")]).has_length
    assert not AnswerHead([(b"content-type", b"x")]).has_length


def test_the_last_answer_of_a_connection_says_so_in_place_of_what_the_application_says() -> None:
    lines = lines_of((b"Connection", b"keep-alive"), (b"a", b"1"), is_chunked=True, is_last=True)

    assert lines == [STATUS, b"a: 1", b"transfer-encoding: chunked", b"connection: close"]


def test_a_value_cannot_begin_a_header_of_its_own() -> None:
    for end in (b"\r\n", b"\n", b"\r"):
        assert lines_of((b"a", b"1" + end + b"b: 2")) == [STATUS, b"a: 1 b: 2"]

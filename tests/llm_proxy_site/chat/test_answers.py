import httpx
import pytest

from llm_proxy_site.chat.answers import Answer, ChatError


def answer(body: bytes, status: int = 200) -> Answer:
    transport = httpx.MockTransport(lambda request: httpx.Response(status, content=body))
    return Answer(httpx.Client(transport=transport, base_url="http://proxy/v1"), "gpt-4o", [])


def test_pieces_come_in_order_and_usage_last() -> None:
    asked = answer(
        b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
        b'data: {"choices":[{"delta":{"content":"a\\u2028b"}}]}\n\n'
        b'data: {"choices":[{"delta":{"content":null}},{"delta":{"content":"other"}}]}\n\n'
        b'data: {"choices":[{"delta":{"content":"c"}}]}\n\n'
        b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n'
        b"data: [DONE]\n\n"
    )
    assert list(asked.pieces()) == ["a\u2028b", "c"]
    assert (asked.usage.input_tokens, asked.usage.output_tokens) == (3, 4)


def test_an_error_in_the_stream_is_one() -> None:
    asked = answer(
        b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
        b'data: {"error":{"message":"This access token has expired."}}\n\n'
    )
    pieces = asked.pieces()
    assert next(pieces) == "a"
    with pytest.raises(ChatError, match="has expired"):
        next(pieces)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":{"message":"No such model."}}', "No such model."),
        (b"<html>", "The proxy answers 502."),
        (b"[]", "The proxy answers 502."),
    ],
)
def test_a_refusal_is_told_as_the_proxy_tells_it(body: bytes, message: str) -> None:
    with pytest.raises(ChatError, match=message):
        list(answer(body, 502).pieces())


def test_a_proxy_that_is_not_there_is_an_error() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    client = httpx.Client(transport=httpx.MockTransport(refuse), base_url="http://proxy/v1")
    with pytest.raises(ChatError, match="cannot be reached"):
        list(Answer(client, "gpt-4o", []).pieces())

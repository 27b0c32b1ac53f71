"""A body on its way to the application, of which only so much waits."""

from llm_proxy_site.server.request_body import MAX_BUFFERED_BODY_BYTES, RequestBody


class Socket:
    is_paused = False

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False


async def test_reading_is_paused_again_where_others_have_resumed_it() -> None:
    socket = Socket()
    body = RequestBody(socket.pause, socket.resume)
    body.feed(b"x" * (MAX_BUFFERED_BODY_BYTES + 1))
    assert socket.is_paused
    socket.resume()  # as Twisted does when an answer has gone out
    body.feed(b"x")
    assert socket.is_paused

    await body.receive()
    assert not socket.is_paused

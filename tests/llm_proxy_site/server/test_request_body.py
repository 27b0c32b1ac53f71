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


async def test_who_is_told_of_a_hang_up_is_let_go_with_the_bodys_end() -> None:
    told = []
    body = RequestBody(lambda: None, lambda: None)
    body.tell_hangup(lambda: told.append("before"))
    body.end()
    body.tell_hangup(lambda: told.append("after"))
    body.put_nowait({"type": "http.disconnect"})

    assert not told
    assert body._on_hangup is None


async def test_who_asks_when_the_client_has_left_already_is_told_at_once() -> None:
    told = []
    body = RequestBody(lambda: None, lambda: None)
    body.feed(b"x")
    body.put_nowait({"type": "http.disconnect"})
    body.tell_hangup(lambda: told.append("at once"))

    assert told == ["at once"]
    assert body._on_hangup is None

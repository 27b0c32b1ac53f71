"""The client's side as any ASGI server sees it."""

from proxy.errors import EndpointNotFound
from proxy.types import Message
from proxy.websockets.client import SocketClient


class Server:
    def __init__(self, *messages: Message) -> None:
        self.messages = list(messages)
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        return self.messages.pop(0)

    async def send(self, message: Message) -> None:
        self.sent.append(message)


async def test_a_refusal_is_an_http_answer_where_the_server_can() -> None:
    server = Server()
    client = SocketClient(server.receive, server.send, can_refuse=True)
    await client.refuse(EndpointNotFound(), (b"x-more", b"1"))
    start, body = server.sent
    assert (start["type"], start["status"], client.status) == ("websocket.http.response.start", 404, 404)
    assert (b"x-more", b"1") in start["headers"]
    assert (b"content-length", b"%d" % len(body["body"])) in start["headers"]


async def test_other_servers_are_told_to_close_and_say_403() -> None:
    server = Server()
    client = SocketClient(server.receive, server.send, can_refuse=False)
    await client.refuse(EndpointNotFound())
    assert [message["type"] for message in server.sent] == ["websocket.close"]
    assert client.status == 403


async def test_messages_are_text_or_bytes_as_they_came_and_counted() -> None:
    received = [
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": ""},
        {"type": "websocket.receive", "bytes": b"12", "text": None},
        {"type": "websocket.receive", "text": "123"},
    ]
    server = Server(*received)
    client = SocketClient(server.receive, server.send, can_refuse=True)
    assert [await client.next() for _ in range(3)] == ["", b"12", "123"]
    assert client.received_bytes == 5


async def test_what_is_closed_is_not_closed_again() -> None:
    server = Server()
    client = SocketClient(server.receive, server.send, can_refuse=True)
    await client.close(1008, "é" * 100)
    await client.close(1000, "")
    (message,) = server.sent
    assert message["reason"] == "é" * 61

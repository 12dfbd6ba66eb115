"""A model API that sends its answer piece by piece, as a test asks."""

from __future__ import annotations

import json
import socket
from contextlib import suppress

from tests.integration.egress.conftest import ASKED, dial


class Drip:
    """A provider that says one event of an answer whenever it is told to."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._client: socket.socket | None = None

    def accept(self) -> None:
        """Take a request, and leave it without an answer."""
        self._client, _ = self._listener.accept()
        self._client.settimeout(60)
        head = b""
        while b"\r\n\r\n" not in head:
            head += self._client.recv(65536)

    def begin(self) -> None:
        self._client.sendall(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )

    def say(self, event: dict) -> bytes:
        data = f"data: {json.dumps(event)}\n\n".encode()
        self._client.sendall(b"%x\r\n%s\r\n" % (len(data), data))
        return data

    def end(self) -> None:
        self._client.sendall(b"0\r\n\r\n")

    def answer_whole(self, document: dict) -> None:
        content = json.dumps(document).encode()
        self._client.sendall(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
            % (len(content), content)
        )

    def await_end(self) -> None:
        """Return when the client is gone, whatever it still had said."""
        with suppress(ConnectionResetError):
            while self._client.recv(65536):
                pass

    def close(self) -> None:
        self._listener.close()
        if self._client:
            self._client.close()


def ask(proxy, drip) -> socket.socket:
    """Ask for a message; returns once the provider has heard it."""
    client = dial(proxy)
    body = json.dumps(ASKED).encode()
    client.sendall(
        b"POST /v1/messages HTTP/1.1\r\nhost: h\r\nx-api-key: %s\r\ncontent-length: %d\r\n\r\n%s"
        % (proxy.model.key.encode(), len(body), body)
    )
    drip.accept()
    return client


def begin_stream(proxy, drip) -> socket.socket:
    """Ask for a message; returns once the head of its answer is there."""
    client = ask(proxy, drip)
    drip.begin()
    head = b""
    while b"\r\n\r\n" not in head:
        head += client.recv(65536)
    return client


STARTED = {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 5}}}

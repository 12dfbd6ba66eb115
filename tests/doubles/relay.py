"""A relay in front of a server: what comes between the two can be cut, dropped, or lose a reply."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self


class Relay:
    """Passes bytes on between its clients and the server behind it."""

    def __init__(self, port: int) -> None:
        self._server = ("127.0.0.1", port)
        self._sockets: set[socket.socket] = set()
        self._is_cut = False
        self._passes = threading.Event()
        self._passes.set()
        self._loses_replies = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.cut()
        self.deliver()
        # What waits for a client is woken by one.
        socket.create_connection(("127.0.0.1", self.port)).close()

    def cut(self) -> None:
        """Close what is open, and whatever is opened from now on."""
        self._is_cut = True
        for end in list(self._sockets):
            _close(end)

    def mend(self) -> None:
        """Let clients in again."""
        self._is_cut = False

    def redirect(self, port: int) -> None:
        """Lead clients to another server; what is open is closed."""
        self.cut()
        self._server = ("127.0.0.1", port)
        self.mend()

    def drop(self) -> None:
        """Let nothing through from now on, without a word to either side."""
        self._passes.clear()

    def deliver(self) -> None:
        """Let through what comes, and what was held up: it was sent again."""
        self._passes.set()

    def lose_replies(self, count: int) -> None:
        """Let the next requests through; their replies are lost with their connections."""
        self._loses_replies = count

    def _accept(self) -> None:
        with self._listening:
            while True:
                client, _ = self._listening.accept()
                if self._is_cut:
                    client.close()
                    if self._listening.fileno() < 0:
                        return
                    continue
                server = socket.create_connection(self._server)
                self._sockets |= {client, server}
                for pump in (self._ask, self._answer):
                    threading.Thread(target=pump, args=(client, server), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                self._passes.wait()
                server.sendall(data)
        _close(client)
        _close(server)

    def _answer(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                self._passes.wait()
                if self._loses_replies:
                    self._loses_replies -= 1
                    break
                client.sendall(data)
        _close(client)
        _close(server)


def _close(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()

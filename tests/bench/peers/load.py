"""Sends a bounded number of HTTP requests over kept-alive connections, and times each answer."""

from __future__ import annotations

import re
import selectors
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_CHUNK_BYTES = 65_536
#: The longest wait for any answer; a service that is slower has failed.
_ANSWER_WITHIN_S = 30.0


@dataclass
class Run:
    """What the answers to a number of requests were, and how long they took."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Return the answers a second."""
        return len(self.latencies_ms) / self.seconds

    def percentile(self, share: float) -> float:
        """Return the latency (ms) that this share of the answers did not exceed."""
        ordered = sorted(self.latencies_ms)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


class _Client:
    """One connection, with at most one request under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=_ANSWER_WITHIN_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self._sent_s = 0.0

    def send(self, request: bytes) -> None:
        self._received = b""
        self._sent_s = time.perf_counter()
        self.socket.sendall(request)

    def receive(self, run: Run) -> bool:
        """Read what has arrived; record the answer and return True if it is complete."""
        chunk = self.socket.recv(_CHUNK_BYTES)
        if not chunk:
            msg = "The service closed a connection that was in use."
            raise ConnectionError(msg)
        self._received += chunk
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return False
        length = _LENGTH.search(head)
        status = _STATUS.match(head)
        if length is None or status is None:
            msg = f"This answer has no length: {head!r}."
            raise ConnectionError(msg)
        if len(body) < int(length[1]):
            return False
        run.latencies_ms.append((time.perf_counter() - self._sent_s) * 1000)
        run.statuses[int(status[1])] += 1
        run.bodies.append(body)
        return True


def message(method: str, path: str, body: bytes = b"") -> bytes:
    """Return a whole request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def send_all(port: int, requests: Sequence[bytes], *, connections: int) -> Run:
    """Send the requests, on so many connections at once, and wait for every answer.

    Raises:
        ConnectionError: the service closed a connection, or its answer has no length.
        TimeoutError: an answer took too long.
    """
    run = Run()
    waiting: Iterator[bytes] = iter(requests)
    clients = [_Client(port) for _ in range(min(connections, len(requests)))]
    with selectors.DefaultSelector() as selector:
        try:
            began = time.perf_counter()
            for client in clients:
                selector.register(client.socket, selectors.EVENT_READ, client)
                client.send(next(waiting))
            while len(run.latencies_ms) < len(requests):
                ready = selector.select(_ANSWER_WITHIN_S)
                if not ready:
                    msg = f"No answer within {_ANSWER_WITHIN_S:g} s."
                    raise TimeoutError(msg)
                for key, _ in ready:
                    if key.data.receive(run) and (request := next(waiting, None)) is not None:
                        key.data.send(request)
            run.seconds = time.perf_counter() - began
        finally:
            for client in clients:
                client.socket.close()
    return run

"""A double of any provider on loopback: one canned response, and the requests that it got."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.doubles.loopback import LoopbackServer


@dataclass(frozen=True)
class Received:
    """A request; header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class ModelApi(LoopbackServer):
    """The server, a context manager; a list of documents is sent as server-sent events."""

    def __init__(self, response: Any, *, status: int = 200) -> None:
        super().__init__(_Handler)
        self.response = response
        self.status = status
        self.requests: list[Received] = []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ModelApi

    def log_message(self, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append(Received(self.command, self.path, headers, body))
        given = self.server.response
        kind, data = "application/json", json.dumps(given).encode()
        if isinstance(given, list):
            kind = "text/event-stream"
            data = b"".join(b"data: %s\n\n" % json.dumps(one).encode() for one in given)
        self.send_response(self.server.status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST  # noqa: N815 - http.server's names

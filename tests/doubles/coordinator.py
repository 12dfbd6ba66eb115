"""A double of the Coordinator on loopback: it answers what it is told to."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler

from tests.doubles.loopback import LoopbackServer


class Double(LoopbackServer):
    """Answers (status, headers, body) in turn, the last one for ever."""

    def __init__(self) -> None:
        super().__init__(Handler)
        self.answers: list[tuple[int, dict[str, str], str]] = []
        self.bodies: list[dict] = []
        self.connections = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Double

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:
            # A client that has heard enough leaves in the middle of an answer.
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        assert self.path == "/api/quality/check"
        length = int(self.headers["content-length"])
        self.server.bodies.append(json.loads(self.rfile.read(length)))
        answers = self.server.answers
        status, headers, body = answers.pop(0) if len(answers) > 1 else answers[0]
        if status == 0:
            self.server.ending.wait(30)
            return
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode())

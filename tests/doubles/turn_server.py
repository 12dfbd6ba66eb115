"""A server of scripted turns on loopback, which the doubles of the providers' APIs speak for."""

from __future__ import annotations

import json
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.doubles.loopback import LoopbackServer
from tests.doubles.messages_api import Answer, Hang, Refusal, Request, Text, Turn

#: What every response claims to have read: this many tokens, of which the second were cached.
READ_TOKENS, CACHED_TOKENS = 100, 40


Play = Answer | Callable[[Request], Answer]


class TurnServer(LoopbackServer):
    """The server, a context manager; its subclasses know the form of one provider's responses.

    A request that offers tools takes the next turn; any other gets a short text. The last turn is
    repeated if it is a refusal; otherwise a last text ends the client's work. A request with
    another key than `key` is refused.
    """

    #: The header that carries the key, and the text before it.
    key_header = ("authorization", "Bearer ")

    def __init__(self, turns: Sequence[Play], *, key: str | None = None) -> None:
        super().__init__(_Handler)
        self.key = key
        self._turns = list(turns)
        self._lock = threading.Lock()
        self.requests: list[Request] = []
        #: The requests that took a turn.
        self.main_requests: list[Request] = []

    def answer(self, request: Request) -> Answer:
        with self._lock:
            self.requests.append(request)
            if not request.body.get("tools"):
                return Turn((Text("A side request."),), 1)
            self.main_requests.append(request)
            if not self._turns:
                return Turn((Text("No turns are left."),))
            play = self._turns[0]
            if not isinstance(play, Refusal):
                self._turns.pop(0)
        return play(request) if callable(play) else play

    @abstractmethod
    def serves(self, path: str) -> bool:
        """Whether a POST to this path is a request for a turn."""

    @abstractmethod
    def document(self, request: Request, turn: Turn, number: int) -> dict[str, Any]:
        """The response that comes whole."""

    @abstractmethod
    def events(self, request: Request, turn: Turn, number: int) -> Iterator[dict[str, Any]]:
        """The response as a stream."""

    def is_stream(self, request: Request) -> bool:
        return bool(request.body.get("stream"))

    def refused(self, refusal: Refusal) -> dict[str, Any]:
        status = HTTPStatus(refusal.status)
        return {"error": {"message": status.phrase, "type": "refused", "code": "refused"}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: TurnServer

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            # A client that is killed leaves in the middle of an answer.
            self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        request = self._request()
        name, prefix = self.server.key_header
        if not self.server.serves(request.path):
            self.server.requests.append(request)
            self._refuse(Refusal(404))
        elif self.server.key not in (None, request.headers.get(name, "").removeprefix(prefix)):
            self.server.requests.append(request)
            self._refuse(Refusal(401))
        else:
            self._answer(request, self.server.answer(request))

    def _no_such_path(self) -> None:
        self.server.requests.append(self._request())
        self._refuse(Refusal(404))

    do_GET = do_HEAD = do_PUT = do_DELETE = _no_such_path  # noqa: N815 - http.server's names

    def _answer(self, request: Request, answer: Answer) -> None:
        number = len(self.server.requests)
        if isinstance(answer, Refusal):
            self._refuse(answer)
        elif isinstance(answer, Hang):
            self._begin(HTTPStatus.OK, "text/event-stream")
            self.wfile.flush()
            answer.begun.set()
            self.server.ending.wait()
            self.close_connection = True
        elif self.server.is_stream(request):
            self._begin(HTTPStatus.OK, "text/event-stream")
            for event in self.server.events(request, answer, number):
                named = f"event: {event['type']}\n" if "type" in event else ""
                self.wfile.write(f"{named}data: {json.dumps(event)}\n\n".encode())
            self.wfile.write(b"data: [DONE]\n\n" if self.server.key_header[1] else b"")
            self.close_connection = True
        else:
            self._send(HTTPStatus.OK, self.server.document(request, answer, number))

    def _request(self) -> Request:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Request(self.command, self.path.partition("?")[0], headers, body)

    def _refuse(self, refusal: Refusal) -> None:
        self._send(refusal.status, self.server.refused(refusal), refusal.retry_after_s)

    def _begin(self, status: int, kind: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("connection", "close")
        self.end_headers()

    def _send(self, status: int, document: object, retry_after_s: int | None = None) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        if retry_after_s is not None:
            self.send_header("retry-after", str(retry_after_s))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

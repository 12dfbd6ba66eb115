"""A double of the Anthropic Messages API on loopback: scripted turns as server-sent events."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.doubles.loopback import LoopbackServer

#: What input every answer claims to have read; the output is the turn's.
INPUT_USAGE = {
    "input_tokens": 100,
    "cache_creation_input_tokens": 20,
    "cache_read_input_tokens": 3,
}


@dataclass(frozen=True)
class Text:
    """The model says something."""

    text: str


@dataclass(frozen=True)
class ToolCall:
    """The model calls a tool."""

    name: str
    input: dict[str, Any]


@dataclass(frozen=True)
class Turn:
    """One answer of the model."""

    blocks: tuple[Text | ToolCall, ...]
    output_tokens: int = 50


@dataclass(frozen=True)
class Refusal:
    """The provider refuses every request from now on, and may say after which seconds to retry."""

    status: int = 429
    retry_after_s: int | None = None


@dataclass(frozen=True)
class Hang:
    """The provider begins a response, sets the event, and says no more until its server ends."""

    begun: threading.Event


Answer = Turn | Refusal | Hang


@dataclass(frozen=True)
class Request:
    """What a client sent; header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class MessagesApi(LoopbackServer):
    """The server; a context manager.

    A turn may be made from the request it answers. Only requests that offer tools take the next
    turn: titles and other side requests do without, and get a short text. When the turns are used
    up, a last text ends the client's work. With `key`, any other key is refused.
    """

    def __init__(
        self, turns: Sequence[Answer | Callable[[Request], Answer]], *, key: str | None = None
    ) -> None:
        super().__init__(_Handler)
        self.key = key
        self._turns = list(turns)
        self._lock = threading.Lock()
        self.requests: list[Request] = []
        #: The requests that took a turn.
        self.main_requests: list[Request] = []

    def record(self, request: Request) -> None:
        with self._lock:
            self.requests.append(request)

    def answer(self, request: Request) -> Answer:
        with self._lock:
            if not request.body.get("tools"):
                return Turn((Text("A side request."),), 1)
            self.main_requests.append(request)
            if not self._turns:
                return Turn((Text("No turns are left."),))
            turn = self._turns[0]
            if not isinstance(turn, Refusal):
                del self._turns[0]
            return turn(request) if callable(turn) else turn


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: MessagesApi

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
        if request.path != "/v1/messages":
            self._refuse(HTTPStatus.NOT_FOUND, "not_found_error")
            return
        if self.server.key not in (None, request.headers.get("x-api-key")):
            self._refuse(HTTPStatus.UNAUTHORIZED, "authentication_error")
            return
        answer = self.server.answer(request)
        if isinstance(answer, Refusal):
            self._refuse(HTTPStatus(answer.status), "rate_limit_error", answer.retry_after_s)
            return
        if isinstance(answer, Hang):
            self._hang(answer)
            return
        message = _message(str(request.body.get("model")), answer)
        if request.body.get("stream"):
            events = "".join(
                f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"
                for event in _events(message)
            )
            self._send(HTTPStatus.OK, "text/event-stream", events)
        else:
            self._send(HTTPStatus.OK, "application/json", json.dumps(message))

    def _no_such_path(self) -> None:
        self._request()
        self._refuse(HTTPStatus.NOT_FOUND, "not_found_error")

    do_GET = do_HEAD = do_PUT = do_DELETE = _no_such_path  # noqa: N815 - http.server's names

    def _request(self) -> Request:
        length = int(self.headers.get("content-length", 0))
        body = json.loads(self.rfile.read(length) or b"{}")
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path.partition("?")[0], headers, body)
        self.server.record(request)
        return request

    def _refuse(self, status: HTTPStatus, kind: str, retry_after_s: int | None = None) -> None:
        error = {"type": kind, "message": status.description}
        body = json.dumps({"type": "error", "error": error})
        self._send(status, "application/json", body, retry_after_s)

    def _hang(self, answer: Hang) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        answer.begun.set()
        self.server.ending.wait()
        self.close_connection = True

    def _send(
        self, status: HTTPStatus, kind: str, body: str, retry_after_s: int | None = None
    ) -> None:
        data = body.encode()
        self.send_response(status)
        if retry_after_s is not None:
            self.send_header("retry-after", str(retry_after_s))
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _message(model: str, turn: Turn) -> dict[str, Any]:
    calls_tool = any(isinstance(block, ToolCall) for block in turn.blocks)
    return {
        "id": f"msg_{uuid.uuid4().hex}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [
            {"type": "text", "text": block.text}
            if isinstance(block, Text)
            else {"type": "tool_use", "id": f"toolu_{uuid.uuid4().hex}", **vars(block)}
            for block in turn.blocks
        ],
        "stop_reason": "tool_use" if calls_tool else "end_turn",
        "stop_sequence": None,
        "usage": {**INPUT_USAGE, "output_tokens": turn.output_tokens},
    }


def _events(message: dict[str, Any]) -> list[dict[str, Any]]:
    # As the real one: the first event claims next to no output, the last but one tells the truth.
    opening = {
        **message,
        "content": [],
        "stop_reason": None,
        "usage": {**INPUT_USAGE, "output_tokens": 1},
    }
    events: list[dict[str, Any]] = [{"type": "message_start", "message": opening}]
    for index, block in enumerate(message["content"]):
        if block["type"] == "text":
            empty = {**block, "text": ""}
            delta = {"type": "text_delta", "text": block["text"]}
        else:
            empty = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        events += [
            {"type": "content_block_start", "index": index, "content_block": empty},
            {"type": "content_block_delta", "index": index, "delta": delta},
            {"type": "content_block_stop", "index": index},
        ]
    return [
        *events,
        {
            "type": "message_delta",
            "delta": {"stop_reason": message["stop_reason"], "stop_sequence": None},
            "usage": message["usage"],
        },
        {"type": "message_stop"},
    ]

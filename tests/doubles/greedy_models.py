"""A double of all providers whose answers are as large as a request allows, and which keeps a bill.

A byte of a prompt has a token or a quarter of one, by its value: what prompts have in common
counts the same in each, as with any tokenizer.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler
from typing import Any

from orchestrator.settings.prices import Price
from tests.doubles.loopback import LoopbackServer

#: What an answer has whose request names no limit.
UNLIMITED = 60_000


class GreedyModels(LoopbackServer):
    """The server, a context manager."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self._lock = threading.Lock()
        #: All tokens of all answers, heard or not.
        self.billed = 0
        self._prompts = 0
        self.requests: list[dict[str, Any]] = []

    def bill(self, body: dict[str, Any], prompt: int, output: int) -> None:
        with self._lock:
            self.requests.append(body)
            self._prompts += prompt
            self.billed += prompt + output

    def billed_usd(self, price: Price) -> float:
        """Return the cost of all answers."""
        return price.cost_usd(input_tokens=self._prompts, output_tokens=self.billed - self._prompts)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: GreedyModels

    def log_message(self, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("content-length", 0)))
        body = json.loads(content)
        digest = hashlib.sha256(content).digest()
        prompt = sum(4 if byte % 2 else 1 for byte in content) // 4
        limit, answers = _asked(body)
        # Every third answer takes all, the others a part.
        part = 100 if digest[1] % 3 == 0 else 20 + digest[1] % 80
        output = answers * max(1, (limit or UNLIMITED) * part // 100)
        self.server.bill(body, prompt, output)
        events = _events(self.path, digest.hex(), prompt, output)
        self.send_response(200)
        is_stream = bool(body.get("stream")) or "streamGenerate" in self.path
        self.send_header("content-type", "text/event-stream" if is_stream else "application/json")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        for number, event in enumerate(events if is_stream else events[-1:]):
            if number:
                time.sleep(digest[2] / 10_000)
            data = json.dumps(event)
            self.wfile.write((f"data: {data}\n\n" if is_stream else data).encode())


def _asked(body: dict[str, Any]) -> tuple[int | None, int]:
    config = body.get("generationConfig", {})
    limit = (
        body.get("max_tokens")
        or body.get("max_completion_tokens")
        or body.get("max_output_tokens")
        or config.get("maxOutputTokens")
    )
    return limit, body.get("n") or config.get("candidateCount") or 1


def _events(path: str, name: str, prompt: int, output: int) -> list[dict[str, Any]]:
    if path.startswith("/v1/messages"):
        usage = {"input_tokens": prompt, "output_tokens": output}
        message = {"type": "message", "id": name, "usage": {**usage, "output_tokens": 1}}
        return [
            {"type": "message_start", "message": message},
            {"type": "message_delta", "usage": usage},
            {**message, "usage": usage},
        ]
    if path.endswith("/responses"):
        usage = {"input_tokens": prompt, "output_tokens": output}
        return [{"id": name}, {"id": name, "usage": usage}]
    if path.endswith("/chat/completions"):
        usage = {"prompt_tokens": prompt, "completion_tokens": output}
        return [{"id": name}, {"id": name, "usage": usage}]
    usage = {"promptTokenCount": prompt, "candidatesTokenCount": output}
    return [{"responseId": name}, {"responseId": name, "usageMetadata": usage}]

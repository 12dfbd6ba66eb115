"""A double of Google's Gemini API on loopback, with scripted turns."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from tests.doubles.messages_api import Refusal, Request, Text, ToolCall, Turn
from tests.doubles.turn_server import CACHED_TOKENS, READ_TOKENS, TurnServer

_GENERATES = re.compile(r"/v1(?:beta)?/models/[^/:]+:(?:streamG|g)enerateContent")
_STATUS = {401: "UNAUTHENTICATED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED"}


class GeminiApi(TurnServer):
    """The methods generateContent and streamGenerateContent."""

    key_header = ("x-goog-api-key", "")

    def serves(self, path: str) -> bool:
        return _GENERATES.fullmatch(path) is not None

    def is_stream(self, request: Request) -> bool:
        return request.path.endswith(":streamGenerateContent")

    def document(self, request: Request, turn: Turn, number: int) -> dict[str, Any]:
        # A side request asks for JSON in the form of a schema, which a plain text does not have.
        config = request.body.get("generationConfig") or {}
        wants_json = config.get("responseMimeType") == "application/json"
        parts = [{"text": json.dumps({})}] if wants_json else [_part(one) for one in turn.blocks]
        return {
            "responseId": f"response-{number}",
            "modelVersion": request.path.split("/")[-1].partition(":")[0],
            "candidates": [
                {
                    "index": 0,
                    "content": {"role": "model", "parts": parts},
                    "finishReason": "STOP",
                }
            ],
            "usageMetadata": {
                "promptTokenCount": READ_TOKENS,
                "cachedContentTokenCount": CACHED_TOKENS,
                "candidatesTokenCount": turn.output_tokens,
                "totalTokenCount": READ_TOKENS + turn.output_tokens,
            },
        }

    def events(self, request: Request, turn: Turn, number: int) -> Iterator[dict[str, Any]]:
        yield self.document(request, turn, number)

    def refused(self, refusal: Refusal) -> dict[str, Any]:
        status = _STATUS.get(refusal.status, "INTERNAL")
        message = HTTPStatus(refusal.status).phrase
        return {"error": {"code": refusal.status, "message": message, "status": status}}


def _part(block: Text | ToolCall) -> dict[str, Any]:
    if isinstance(block, Text):
        return {"text": block.text}
    return {"functionCall": {"name": block.name, "args": block.input}}

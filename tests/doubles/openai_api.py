"""A double of OpenAI's Responses and Chat Completions APIs on loopback, with scripted turns."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

from tests.doubles.messages_api import Request, Text, ToolCall, Turn
from tests.doubles.turn_server import CACHED_TOKENS, READ_TOKENS, TurnServer

_RESPONSES, _CHAT = "/v1/responses", "/v1/chat/completions"


class OpenAiApi(TurnServer):
    """Both APIs below `/v1`; a tool call without a name in `input` is a function's."""

    def serves(self, path: str) -> bool:
        return path in {_RESPONSES, _CHAT}

    def document(self, request: Request, turn: Turn, number: int) -> dict[str, Any]:
        if request.path == _CHAT:
            return _completion(request, turn, number)
        return _response(request, turn, number)

    def events(self, request: Request, turn: Turn, number: int) -> Iterator[dict[str, Any]]:
        if request.path == _CHAT:
            yield from _chunks(request, turn, number)
            return
        yield from _events(_response(request, turn, number))


# ── Responses ───────────────────────────────────────────────────────────────────────────────


def _response(request: Request, turn: Turn, number: int) -> dict[str, Any]:
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "completed",
        "model": request.body.get("model"),
        "output": [_item(block) for block in turn.blocks],
        "usage": {
            "input_tokens": READ_TOKENS,
            "input_tokens_details": {"cached_tokens": CACHED_TOKENS},
            "output_tokens": turn.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": READ_TOKENS + turn.output_tokens,
        },
    }


def _item(block: Text | ToolCall) -> dict[str, Any]:
    name = uuid.uuid4().hex
    if isinstance(block, Text):
        said = {"type": "output_text", "text": block.text, "annotations": []}
        return {"id": f"msg_{name}", "type": "message", "status": "completed",
                "role": "assistant", "content": [said]}  # fmt: skip
    return {
        "id": f"fc_{name}",
        "type": "function_call",
        "status": "completed",
        "call_id": f"call_{name}",
        "name": block.name,
        "arguments": json.dumps(block.input),
    }


def _events(response: dict[str, Any]) -> Iterator[dict[str, Any]]:
    opening = {**response, "status": "in_progress", "output": [], "usage": None}
    yield {"type": "response.created", "response": opening}
    for index, item in enumerate(response["output"]):
        place = {"output_index": index, "item_id": item["id"]}
        empty = {"content": []} if item["type"] == "message" else {"arguments": ""}
        started = {**item, **empty, "status": "in_progress"}
        yield {"type": "response.output_item.added", "output_index": index, "item": started}
        if item["type"] == "message":
            [said] = item["content"]
            at = {**place, "content_index": 0}
            yield {"type": "response.content_part.added", **at, "part": {**said, "text": ""}}
            yield {"type": "response.output_text.delta", **at, "delta": said["text"]}
            yield {"type": "response.output_text.done", **at, "text": said["text"]}
            yield {"type": "response.content_part.done", **at, "part": said}
        else:
            given = item["arguments"]
            yield {"type": "response.function_call_arguments.delta", **place, "delta": given}
            yield {"type": "response.function_call_arguments.done", **place, "arguments": given}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": "response.completed", "response": response}


# ── Chat Completions ────────────────────────────────────────────────────────────────────────


def _usage(turn: Turn) -> dict[str, Any]:
    return {
        "prompt_tokens": READ_TOKENS,
        "prompt_tokens_details": {"cached_tokens": CACHED_TOKENS},
        "completion_tokens": turn.output_tokens,
        "total_tokens": READ_TOKENS + turn.output_tokens,
    }


def _message(turn: Turn) -> tuple[dict[str, Any], str]:
    """The message, and why it ended."""
    text = "".join(block.text for block in turn.blocks if isinstance(block, Text))
    calls = [
        {
            "index": index,
            "id": f"call_{uuid.uuid4().hex}",
            "type": "function",
            "function": {"name": block.name, "arguments": json.dumps(block.input)},
        }
        for index, block in enumerate(b for b in turn.blocks if isinstance(b, ToolCall))
    ]
    message: dict[str, Any] = {"role": "assistant", "content": text}
    return message | ({"tool_calls": calls} if calls else {}), "tool_calls" if calls else "stop"


def _head(request: Request, number: int, kind: str) -> dict[str, Any]:
    model = request.body.get("model")
    return {"id": f"chatcmpl-{number}", "object": kind, "created": int(time.time()), "model": model}


def _completion(request: Request, turn: Turn, number: int) -> dict[str, Any]:
    message, reason = _message(turn)
    choice = {"index": 0, "message": message, "finish_reason": reason}
    head = _head(request, number, "chat.completion")
    return {**head, "choices": [choice], "usage": _usage(turn)}


def _chunks(request: Request, turn: Turn, number: int) -> Iterator[dict[str, Any]]:
    message, reason = _message(turn)
    head = _head(request, number, "chat.completion.chunk")
    yield {**head, "choices": [{"index": 0, "delta": message, "finish_reason": None}]}
    yield {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    yield {**head, "choices": [], "usage": _usage(turn)}

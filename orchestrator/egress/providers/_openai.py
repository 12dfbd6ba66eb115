"""OpenAI's Responses and Chat Completions APIs, on OpenAI's own address or on another server's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.egress.providers._bodies import (
    answers_in,
    fetch_refused,
    objects_in,
    output_limit,
    parsed,
)
from orchestrator.interfaces.provider import Endpoint, OutputAsked, Refused
from orchestrator.models import ApiTokens
from orchestrator.models.tokens import MOST_TOKENS_OF_A_MESSAGE, whole_in

#: Stored responses, batches, files, assistants and the realtime API are refused: their tokens are
#: spent later, or their usage is not in the response.
_ALLOWED = re.compile(
    rb"POST /(?:responses|chat/completions)"
    rb"|(?:GET|HEAD) /models(?:/[A-Za-z0-9][A-Za-z0-9._:/-]*)?(?:\?client_version=[0-9.]+)?"
)
#: Tools that the client runs; the provider runs all others, some of them with network access.
_OWN_TOOLS = frozenset(
    {
        *("function", "custom", "local_shell", "apply_patch", "namespace"),
        *("computer", "computer_use_preview"),
    }
)
#: Fields of a request, of OpenAI or of servers with the same API, that search, or run elsewhere.
_FETCHING_FIELDS = (
    *("web_search_options", "search_parameters", "plugins", "mcp_servers", "prompt"),
    *("conversation", "previous_response_id"),
)
#: These models search the web without any tool in the request.
_SEARCHING_MODEL = re.compile(r"search|deep-research|:online|sonar", re.IGNORECASE)
#: Schemas and arguments, in which only the client reads.
_OPAQUE = frozenset({"parameters", "schema", "arguments"})
_CHAT = b"/chat/completions"
#: The names of the limit of output: of Responses, and of Chat Completions, the newer one first.
_OUTPUT, _OUTPUTS_OF_CHAT = "max_output_tokens", ("max_completion_tokens", "max_tokens")


class OpenAiProvider:
    """The Responses and Chat Completions APIs below one base address."""

    key_headers: Mapping[bytes, bytes] = {b"authorization": b"Bearer "}

    def __init__(self, endpoint: Endpoint, prefix: str, variables: str, *, has_ids: bool) -> None:
        self.endpoint = endpoint
        self.prefix = prefix
        self._variables = variables
        self._has_ids = has_ids

    def environment(self, address: str, key: str) -> Mapping[str, str]:
        """Return the variables that OpenAI's clients read, or those of another server."""
        return {f"{self._variables}_BASE_URL": address, f"{self._variables}_API_KEY": key}

    def allows(self, line: bytes) -> bool:
        """Return whether a request creates a response or a completion, or reads models."""
        return _ALLOWED.fullmatch(line) is not None and b".." not in line and b"//" not in line

    def checked(self, path: bytes, body: bytes, *, may_fetch: bool) -> bytes:
        """Return the body; that of a stream of chat asks for its usage.

        Raises:
            Refused: the response would be made in the background, the provider would connect
                elsewhere, or the body is ambiguous.
        """
        document = parsed(body)
        if document.get("background"):
            msg = "background: tokens of a later response would not be counted"
            raise Refused(msg)
        if not may_fetch and (reason := next(_fetches(document), None)):
            raise fetch_refused(reason)
        if path != _CHAT or not document.get("stream"):
            return body
        options = document.get("stream_options")
        given = options if isinstance(options, dict) else {}
        if given.get("include_usage") is True:
            return body
        # Without this option a stream has no usage.
        asked = {**document, "stream_options": {**given, "include_usage": True}}
        return json.dumps(asked).encode()

    def usage_reader(self, path: bytes) -> OpenAiUsage | None:
        """Return a reader for a response or a completion."""
        is_generating = path in {b"/responses", _CHAT}
        return OpenAiUsage(has_ids=self._has_ids) if is_generating else None

    def output_asked(self, document: Mapping[str, Any]) -> OutputAsked:
        """Return the limit of either API, and `n` of a completion."""
        asked = output_limit(document, _OUTPUT, *_OUTPUTS_OF_CHAT)
        return OutputAsked(asked, answers_in(document, "n", "best_of"))

    def with_output(self, document: Mapping[str, Any], most: int) -> dict[str, Any]:
        """Return the body with another limit, by each name that it has."""
        named = [name for name in (_OUTPUT, *_OUTPUTS_OF_CHAT) if name in document]
        if not named:
            # Many servers with OpenAI's API know only the older name.
            of_chat = _OUTPUTS_OF_CHAT[0 if self._has_ids else 1]
            named = [of_chat if "messages" in document else _OUTPUT]
        return {**document, **dict.fromkeys(named, most)}

    def as_error(self, reason: str) -> Mapping[str, object]:
        """Return a refusal in the form of OpenAI's errors."""
        message = f"Egress proxy: {reason}"
        return {
            "error": {"message": message, "type": "permission_error", "param": None, "code": None}
        }


class OpenAiUsage:
    """Finds the usage in one response of either API."""

    marker = b'"usage"'

    def __init__(self, *, has_ids: bool) -> None:
        self._has_ids = has_ids
        self._cached: int | None = None

    def read(self, part: Mapping[str, object]) -> Iterator[tuple[str, ApiTokens]]:
        """Read an event, a chunk, a response or a completion."""
        inner = part.get("response")
        response = inner if isinstance(inner, Mapping) else part
        usage = response.get("usage")
        if usage is None:
            return
        # Some servers give ids that occur again; then each response counts as another one.
        response_id = response.get("id")
        is_named = self._has_ids and isinstance(response_id, str)
        yield str(response_id) if is_named else "", self._tokens(usage)

    def _tokens(self, usage: object) -> ApiTokens:
        """Read the counts of either API; those of the cache are part of the input there."""
        if not isinstance(usage, Mapping):
            return ApiTokens.read(usage)
        is_chat = "prompt_tokens" in usage or "completion_tokens" in usage
        names = (
            ("prompt_tokens", "completion_tokens") if is_chat else ("input_tokens", "output_tokens")
        )
        sent, output = (usage.get(name) for name in names)
        details = usage.get(f"{names[0]}_details")
        cached = details.get("cached_tokens") if isinstance(details, Mapping) else None
        whole = whole_in(sent, most=MOST_TOKENS_OF_A_MESSAGE)
        if self._cached is None:
            # The largest count of each kind stays, so later reports divide the input as the first.
            self._cached = whole_in(cached, most=whole or 0) or 0
        part = min(self._cached, whole or 0)
        return ApiTokens.read(
            {
                "input_tokens": sent if whole is None else whole - part,
                "output_tokens": output,
                "cache_read_input_tokens": part,
            }
        )


def _fetches(document: dict[str, object]) -> Iterator[str]:
    for name in _FETCHING_FIELDS:
        if document.get(name):
            yield f"use what another request stored, or search: {name}"
    models = document.get("models")
    for model in (document.get("model"), *(models if isinstance(models, list) else ())):
        if isinstance(model, str) and _SEARCHING_MODEL.search(model):
            yield f"search with a model that does so: {model:.80}"
    for part in objects_in(document, opaque=_OPAQUE):
        yield from _fetches_of(part)


def _fetches_of(part: dict[str, object]) -> Iterator[str]:
    if part.get("tools"):
        tools = part["tools"]
        for kind in map(_kind, tools) if isinstance(tools, list) else [None]:
            if not (isinstance(kind, str) and kind in _OWN_TOOLS):
                yield f"run a tool: {kind!s:.80}"
    image = part.get("image_url")
    for address in (
        image.get("url") if isinstance(image, dict) else image,
        part.get("file_url"),
        _nested_url(part, "video_url"),
    ):
        if isinstance(address, str) and not address.lower().startswith("data:"):
            yield f"fetch an address: {address:.80}"


def _nested_url(part: dict[str, object], name: str) -> object:
    value = part.get(name)
    return value.get("url") if isinstance(value, dict) else value


def _kind(tool: object) -> object:
    return tool.get("type") if isinstance(tool, dict) else None

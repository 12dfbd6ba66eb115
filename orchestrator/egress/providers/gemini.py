"""Google's Gemini API, below `/gemini` of the proxy."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.egress.providers._bodies import (
    answers_in,
    objects_in,
    output_limit,
    refuse_fetches,
)
from orchestrator.interfaces.provider import Endpoint, OutputAsked, Refused
from orchestrator.models import ApiTokens
from orchestrator.models.tokens import MOST_TOKENS_OF_A_MESSAGE, whole_in
from orchestrator.settings import Settings

DEFAULT_URL = "https://generativelanguage.googleapis.com"
_MODEL = rb"/v1(?:beta)?/models/[A-Za-z0-9][A-Za-z0-9._-]*"
#: Of the query only this is allowed: Google reads keys, methods and headers from other parameters.
_ALLOWED = re.compile(
    rb"POST " + _MODEL + rb":(?:generateContent|countTokens)"
    rb"|POST " + _MODEL + rb":streamGenerateContent(?:\?alt=sse)?"
    rb"|(?:GET|HEAD) (?:/v1(?:beta)?/models|" + _MODEL + rb")(?:\?pageSize=[0-9]+)?"
)
_GENERATES = re.compile(rb":(?:g|streamG)enerateContent")
#: Functions that the client runs, and the computer of the client.
_OWN_TOOLS = frozenset(
    {"functionDeclarations", "function_declarations", "computerUse", "computer_use"}
)
#: A stored cache may have tools of the provider.
_STORED = ("cachedContent", "cached_content")
_FILES = ("fileData", "file_data")
#: Each field has two names, of which the API takes either.
_CONFIGS = ("generationConfig", "generation_config")
_OUTPUTS = ("maxOutputTokens", "max_output_tokens")
_MOST_DIGITS = 19
_ANSWERS = ("candidateCount", "candidate_count")
#: Schemas, arguments and results of functions, in which only client and model read.
_OPAQUE = frozenset(
    {
        *("args", "response", "parameters", "parametersJsonSchema", "parameters_json_schema"),
        *("responseSchema", "response_schema", "responseJsonSchema", "response_json_schema"),
    }
)


def build(settings: Settings) -> GeminiProvider | None:
    """Build the provider; None without a key."""
    key = settings.gemini_api_key
    if key is None:
        return None
    return GeminiProvider(Endpoint(settings.gemini_base_url or DEFAULT_URL, key))


class GeminiProvider:
    """The methods generateContent, streamGenerateContent and countTokens."""

    prefix = "/gemini"
    key_headers: Mapping[bytes, bytes] = {b"x-goog-api-key": b""}

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    def environment(self, address: str, key: str) -> Mapping[str, str]:
        """Return the variables that Google's clients read."""
        return {"GOOGLE_GEMINI_BASE_URL": address, "GEMINI_API_KEY": key}

    def allows(self, line: bytes) -> bool:
        """Return whether a request generates content, counts tokens, or reads models."""
        return _ALLOWED.fullmatch(line) is not None

    def checked(self, path: bytes, body: bytes, *, may_fetch: bool) -> bytes:
        """Return the body as it is.

        Raises:
            Refused: it makes the provider connect elsewhere, or it is ambiguous.
        """
        del path
        if not may_fetch:
            refuse_fetches(body, _fetches)
        return body

    def usage_reader(self, path: bytes) -> GeminiUsage | None:
        """Return a reader, except for a count of tokens and for models."""
        return GeminiUsage() if _GENERATES.search(path) else None

    def output_asked(self, document: Mapping[str, Any]) -> OutputAsked:
        """Return the limit of the configuration, and its number of candidates.

        Raises:
            Refused: a field has both of its names, or is no object.
        """
        config = document.get(_one_name(document, _CONFIGS)) or {}
        if not isinstance(config, Mapping):
            msg = f"{_CONFIGS[0]} must be an object"
            raise Refused(msg)
        # The API takes whole numbers as texts too.
        fields = {name: _unquoted(value) for name, value in config.items()}
        output, answers = _one_name(fields, _OUTPUTS), _one_name(fields, _ANSWERS)
        return OutputAsked(output_limit(fields, output), answers_in(fields, answers))

    def with_output(self, document: Mapping[str, Any], most: int) -> dict[str, Any]:
        """Return the body with another limit."""
        name = _one_name(document, _CONFIGS)
        config = document.get(name) or {}
        return {**document, name: {**config, _one_name(config, _OUTPUTS): most}}

    def as_error(self, reason: str) -> Mapping[str, object]:
        """Return a refusal in the form of Google's errors."""
        message = f"Egress proxy: {reason}"
        return {"error": {"code": 403, "message": message, "status": "PERMISSION_DENIED"}}


class GeminiUsage:
    """Finds the usage in one response; each part of a stream has that of the parts before."""

    marker = b'"usageMetadata"'

    def __init__(self) -> None:
        self._cached: int | None = None

    def read(self, part: Mapping[str, object]) -> Iterator[tuple[str, ApiTokens]]:
        """Read a part of a stream, or a response that comes whole."""
        usage = part.get("usageMetadata")
        if usage is None:
            return
        response_id = part.get("responseId")
        yield response_id if isinstance(response_id, str) else "", self._tokens(usage)

    def _tokens(self, usage: object) -> ApiTokens:
        """Read the counts; thoughts are output, and results of tools are input."""
        if not isinstance(usage, Mapping):
            return ApiTokens.read(usage)
        prompt, output = usage.get("promptTokenCount"), usage.get("candidatesTokenCount")
        sent = _whole(usage, "promptTokenCount")
        if self._cached is None:
            # The largest count of each kind stays, so later parts divide the input as the first.
            self._cached = _whole(usage, "cachedContentTokenCount")
        cached = min(self._cached, sent)
        asked = sent - cached + _whole(usage, "toolUsePromptTokenCount")
        said = _whole(usage, "candidatesTokenCount") + _whole(usage, "thoughtsTokenCount")
        return ApiTokens.read(
            {
                # An impossible count is passed on, so that it is reported.
                "input_tokens": asked or prompt,
                "output_tokens": said or output,
                "cache_read_input_tokens": cached,
            }
        )


def _one_name(fields: Mapping[str, Any], names: tuple[str, str]) -> str:
    given = [name for name in names if name in fields]
    if len(given) > 1:
        msg = f"only one of {' and '.join(names)} may be given"
        raise Refused(msg)
    return given[0] if given else names[0]


def _unquoted(value: object) -> object:
    if not isinstance(value, str) or not value.isascii() or not value.isdigit():
        return value
    return int(value) if len(value) <= _MOST_DIGITS else value


def _whole(usage: Mapping[str, object], name: str) -> int:
    return whole_in(usage.get(name), most=MOST_TOKENS_OF_A_MESSAGE) or 0


def _fetches(document: dict[str, object]) -> Iterator[str]:
    for part in objects_in(document, opaque=_OPAQUE):
        yield from _fetches_of(part)


def _fetches_of(part: dict[str, object]) -> Iterator[str]:
    for name in _STORED:
        if part.get(name):
            yield f"use what another request stored: {name}"
    for name in _FILES:
        if part.get(name):
            yield f"fetch an address: {name}"
    tools = part.get("tools")
    # The API takes one tool in place of a list of one.
    for tool in tools if isinstance(tools, list) else [tools] if tools else []:
        names = set(tool) if isinstance(tool, dict) else {str(tool)}
        for kind in sorted(names - _OWN_TOOLS):
            yield f"run a tool: {kind:.80}"

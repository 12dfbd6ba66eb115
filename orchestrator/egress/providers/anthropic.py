"""Anthropic's Messages API, at the root of the proxy: what is allowed, and what it reports."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.egress.providers._anthropic_fetches import fetches
from orchestrator.egress.providers._bodies import output_limit, refuse_fetches
from orchestrator.interfaces.provider import Endpoint, OutputAsked
from orchestrator.models import ApiTokens
from orchestrator.settings import Settings

DEFAULT_URL = "https://api.anthropic.com"
#: The least budget of thinking that the API accepts; it must be below the limit of the output.
_LEAST_THINKING = 1024
#: Only calls whose response the client waits for are allowed, so that a cut connection ends the
#: usage. Batches are refused, because their tokens would be spent later and unmetered; files are
#: refused too.
_ALLOWED = re.compile(
    rb"POST /v1/messages(?:/count_tokens)?(?:\?[^#]*)?"
    rb"|(?:GET|HEAD) /v1/models(?:/[A-Za-z0-9][A-Za-z0-9._@:-]*)?(?:\?[^#]*)?"
)


def build(settings: Settings) -> AnthropicProvider | None:
    """Build the provider; None without a key."""
    if settings.model_key is None:
        return None
    url = settings.anthropic_base_url or DEFAULT_URL
    return AnthropicProvider(Endpoint(url, settings.model_key))


class AnthropicProvider:
    """The Messages API."""

    prefix = ""
    key_headers: Mapping[bytes, bytes] = {b"x-api-key": b"", b"authorization": b"Bearer "}

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    def environment(self, address: str, key: str) -> Mapping[str, str]:
        """Return the variables that Claude Code and Anthropic's clients read."""
        return {"ANTHROPIC_BASE_URL": address, "ANTHROPIC_API_KEY": key}

    def allows(self, line: bytes) -> bool:
        """Return whether a request is one of messages, their tokens, or models."""
        return _ALLOWED.fullmatch(line) is not None

    def checked(self, path: bytes, body: bytes, *, may_fetch: bool) -> bytes:
        """Return the body as it is.

        Raises:
            Refused: it makes the provider connect elsewhere, or it is ambiguous.
        """
        del path
        if not may_fetch:
            refuse_fetches(body, fetches)
        return body

    def usage_reader(self, path: bytes) -> MessagesUsage | None:
        """Return a reader, except for a count of tokens and for models."""
        return MessagesUsage() if path.partition(b"?")[0] == b"/v1/messages" else None

    def output_asked(self, document: Mapping[str, Any]) -> OutputAsked:
        """Return `max_tokens`."""
        return OutputAsked(output_limit(document, "max_tokens"))

    def with_output(self, document: Mapping[str, Any], most: int) -> dict[str, Any]:
        """Return the body with another `max_tokens`; a budget of thinking stays below it."""
        limited = {**document, "max_tokens": most}
        thinking = document.get("thinking")
        fields = thinking if isinstance(thinking, dict) else {}
        budget = fields.get("budget_tokens")
        if isinstance(budget, int) and budget >= most:
            is_possible = most > _LEAST_THINKING
            less = {**fields, "budget_tokens": most - 1}
            limited["thinking"] = less if is_possible else {"type": "disabled"}
        return limited

    def as_error(self, reason: str) -> Mapping[str, object]:
        """Return a refusal in the form of the Messages API."""
        error = {"type": "permission_error", "message": f"Egress proxy: {reason}"}
        return {"type": "error", "error": error}


class MessagesUsage:
    """Finds the usage in one response of the Messages API."""

    marker = b'"usage"'

    def __init__(self) -> None:
        self._message_id = ""

    def read(self, part: Mapping[str, object]) -> Iterator[tuple[str, ApiTokens]]:
        """Read an event, or a message that comes whole; a message without an id has no usage."""
        message = part if part.get("type") == "message" else part.get("message")
        if message is not None:
            # Any other event ends the message before, so that later usage is not added to it.
            fields = message if isinstance(message, Mapping) else {}
            message_id = fields.get("id")
            self._message_id = message_id if isinstance(message_id, str) else ""
            usage = fields.get("usage")
        else:
            usage = part.get("usage")
        if usage is not None and self._message_id:
            yield self._message_id, ApiTokens.read(usage)

"""Errors of who asks."""

from __future__ import annotations

from orchestrator.errors.store import NotFound
from orchestrator.errors.tree import OrchestratorError


class KeyRefused(OrchestratorError):
    """There is no key, or it is none of this system's."""

    code = "key_refused"
    action = "Send a key as X-API-Key or as Authorization: Bearer; `orch keys add` makes one."


class ScopeMissing(OrchestratorError):
    """This key may not do this."""

    code = "scope_missing"
    action = "Use a key that may: `orch keys ls` shows them."


class RateLimited(OrchestratorError):
    """This key asks too often."""

    code = "rate_limited"
    retryable = True
    action = "Ask again when Retry-After says; the limit of spawns is ORCHESTRATOR_SPAWN_RATE."

    def __init__(self, detail: str, *, retry_after_s: int) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(detail)


class KeyExists(OrchestratorError):
    """There is a key of this name."""

    code = "key_exists"
    action = "Choose another name, or revoke that one: names stand in the audit."


class KeyUnknown(NotFound):
    """There is no key of this name."""

    code = "key_unknown"
    action = "List them with `orch keys ls`."

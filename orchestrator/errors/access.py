"""Errors of API keys."""

from __future__ import annotations

from orchestrator.errors.store import NotFound
from orchestrator.errors.tree import OrchestratorError


class KeyRefused(OrchestratorError):
    """The request has no API key, or this system does not know the key."""

    code = "key_refused"
    action = "Send a key as X-API-Key or as Authorization: Bearer; `orch keys add` creates one."


class LoginRefused(KeyRefused):
    """This login address was used already, has expired, or is incomplete."""

    code = "login_refused"
    action = "`orch dashboard` prints a new one; each works once, within 5 minutes."


class ScopeMissing(OrchestratorError):
    """This API key lacks the scope for this request."""

    code = "scope_missing"
    action = "Use a key with this scope: `orch keys ls` lists the keys."


class RateLimited(OrchestratorError):
    """This API key sends too many requests."""

    code = "rate_limited"
    retryable = True
    action = "Wait as long as Retry-After states; ORCHESTRATOR_SPAWN_RATE limits spawns."

    def __init__(self, detail: str, *, retry_after_s: int) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(detail)


class KeyExists(OrchestratorError):
    """An API key with this name exists."""

    code = "key_exists"
    action = "Choose another name: the audit lists keys by name."


class KeyUnknown(NotFound):
    """No API key has this name."""

    code = "key_unknown"
    action = "List them with `orch keys ls`."

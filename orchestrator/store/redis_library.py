"""Loads the redis library, without the SDK of OpenTelemetry that it loads where there is one.

The library loads the SDK at once, to measure itself on request. Nothing here requests that, and the
SDK is a tenth of the time of a command. `orchestrator.tracing` loads what it needs later.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import redis
    import redis.asyncio
    from redis.backoff import ExponentialBackoff, NoBackoff
    from redis.retry import Retry

__all__ = ["ExponentialBackoff", "NoBackoff", "Retry", "redis"]

_SDK = "opentelemetry.sdk.metrics"


def _load() -> Any:
    modules = cast("dict[str, Any]", sys.modules)
    is_loaded = _SDK in modules
    if not is_loaded:
        # As where it is not installed: an import of it fails meanwhile.
        modules[_SDK] = None
    try:
        import_module("redis.asyncio")
        return import_module("redis")
    finally:
        if not is_loaded:
            del modules[_SDK]


if not TYPE_CHECKING:
    redis = _load()
    ExponentialBackoff, NoBackoff = redis.backoff.ExponentialBackoff, redis.backoff.NoBackoff
    Retry = redis.retry.Retry

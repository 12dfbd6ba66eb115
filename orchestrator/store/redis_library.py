"""Loads the redis library, without the metrics of OpenTelemetry that it loads if there are any.

The library loads them at once, to measure itself on request. Nothing here requests that.
`orchestrator.tracing` loads what it needs later.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import redis
    import redis.asyncio
    from redis.backoff import ExponentialBackoff

__all__ = ["ExponentialBackoff", "redis"]

_METRICS = ("opentelemetry.sdk.metrics", "opentelemetry.metrics")


def _load() -> Any:
    modules = cast("dict[str, Any]", sys.modules)
    absent = [name for name in _METRICS if name not in modules]
    # As where they are not installed: an import of them fails meanwhile.
    modules |= dict.fromkeys(absent)
    try:
        import_module("redis.asyncio")
        return import_module("redis")
    finally:
        for name in absent:
            del modules[name]


if not TYPE_CHECKING:
    redis = _load()
    ExponentialBackoff = redis.backoff.ExponentialBackoff

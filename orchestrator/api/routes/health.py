"""Whether this process lives, and whether the system can serve."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse

from orchestrator.api.http.endpoint import Endpoint
from orchestrator.api.http.schemas import HealthBody, Readiness
from orchestrator.errors import StoreUnreachable
from orchestrator.models import iso_instant
from orchestrator.store import workers as pool_workers
from orchestrator.store.client import AsyncStore
from orchestrator.wiring import clock

#: A probe wants its answer; a Valkey that hangs counts as one that is away.
READY_WITHIN_S = 3.0


async def health(request: Request) -> JSONResponse:
    """Say that this process answers; never touches Valkey."""
    uptime = time.monotonic() - request.app.state.started_s
    return JSONResponse(
        {"status": "healthy", "uptime": round(uptime, 3), "timestamp": iso_instant(clock())}
    )


async def ready(request: Request) -> JSONResponse:
    """Say whether an agent spawned now would run, and if not, which check failed."""
    checks = await _checks(request.app.state.store)
    is_ready = set(checks.values()) == {"ok"}
    status = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
    return JSONResponse({"ready": is_ready, "checks": checks}, status)


async def _checks(store: AsyncStore) -> dict[str, str]:
    try:
        async with asyncio.timeout(READY_WITHIN_S):
            workers = await store.run(pool_workers.present(now=clock()))
    except StoreUnreachable as error:
        return {"valkey": str(error), "workers": "unknown"}
    except TimeoutError:
        return {"valkey": f"no answer within {READY_WITHIN_S:g} s", "workers": "unknown"}
    missing = pool_workers.missing_pools(workers)
    return {
        "valkey": "ok",
        "workers": f"no worker serves {', '.join(missing)}" if missing else "ok",
    }


ENDPOINTS = [
    Endpoint(
        *("GET", "/health", health, "Whether this process answers"),
        answers={200: (HealthBody,)},
        scope=None,
    ),
    Endpoint(
        *("GET", "/health/ready", ready, "Whether the system can serve"),
        answers={200: (Readiness,), 503: (Readiness,)},
        scope=None,
    ),
]

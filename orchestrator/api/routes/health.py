"""Whether this process runs, and whether the system can run agents."""

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

#: A probe needs a fast answer; a Valkey that does not answer in time counts as unreachable.
READY_WITHIN_S = 3.0


async def health(request: Request) -> JSONResponse:
    """Report that this process runs; it does not access Valkey."""
    uptime = time.monotonic() - request.app.state.started_s
    return JSONResponse(
        {"status": "healthy", "uptime": round(uptime, 3), "timestamp": iso_instant(clock())}
    )


async def ready(request: Request) -> JSONResponse:
    """Report whether the system can run agents, with the result of each check."""
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
        *("GET", "/health", health, "The health of this process"),
        answers={200: (HealthBody,)},
        scope=None,
    ),
    Endpoint(
        *("GET", "/health/ready", ready, "The readiness of the system"),
        answers={200: (Readiness,), 503: (Readiness,)},
        scope=None,
    ),
]

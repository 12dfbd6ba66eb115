"""Whether this process runs, and whether the system can run agents."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse

from orchestrator.api.http.endpoint import Endpoint
from orchestrator.api.http.schemas import HealthBody, Readiness
from orchestrator.errors import StoreRefused, StoreUnreachable
from orchestrator.messages import SPAWN_QUEUE
from orchestrator.models import iso_instant
from orchestrator.store import server, sweeps
from orchestrator.store import workers as pool_workers
from orchestrator.store.async_client import AsyncStore
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
    state = request.app.state
    checks = await _checks(state.store, time.monotonic() - state.started_s)
    is_ready = set(checks.values()) == {"ok"}
    status = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
    return JSONResponse({"ready": is_ready, "checks": checks}, status)


async def _checks(store: AsyncStore, uptime_s: float) -> dict[str, str]:
    unknown = {"workers": "unknown", "sweep": "unknown", "disk": "unknown"}
    try:
        async with asyncio.timeout(READY_WITHIN_S):
            # A replica, or a Valkey that cannot save, answers and refuses every write.
            await store.run(server.try_write())
            now = await store.run(server.now())
            workers = await store.run(pool_workers.present(now=now))
            lacking = await store.run(pool_workers.shortages(workers))
            age_s = sweeps.age_s(await store.run(sweeps.last_ms()), now)
    except (StoreUnreachable, StoreRefused) as error:
        return {"valkey": str(error), **unknown}
    except TimeoutError:
        return {"valkey": f"no answer within {READY_WITHIN_S:g} s", **unknown}
    missing = pool_workers.missing_pools(workers)
    return {
        "valkey": "ok",
        "workers": f"no worker serves {', '.join(missing)}" if missing else "ok",
        "sweep": _sweep_check(age_s, uptime_s),
        "disk": _disk_check(workers, lacking),
    }


def _sweep_check(age_s: float | None, uptime_s: float) -> str:
    # After a start, or a stop of the system, the first sweep is not late yet.
    late_s = uptime_s if age_s is None else min(age_s, uptime_s)
    if late_s <= sweeps.SWEEP_OVERDUE_S:
        return "ok"
    since = "ever" if age_s is None else f"for {age_s:.0f} s"
    return f"no sweep {since}: the scheduler and the cleanup workers do not run it"


def _disk_check(workers: tuple[str, ...], lacking: dict[str, str]) -> str:
    # As long as one host starts agents, the others may wait for their space.
    spawning = {worker for worker in workers if worker.partition("@")[0] == SPAWN_QUEUE}
    if not spawning or spawning - lacking.keys():
        return "ok"
    worker = min(spawning)
    return f"no worker starts agents: {worker}: {lacking[worker]}"


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

"""Stock Celery behind FastAPI: accept a spawn, and read the state of one task."""

from __future__ import annotations

import os
import uuid
from typing import Any

from celery import Celery
from fastapi import FastAPI

_URL = os.environ["VALKEY_URL"]
queue = Celery("spawn", broker=_URL, backend=_URL)
app = FastAPI()


@app.post("/agents/spawn", status_code=201)
def spawn(body: dict[str, Any]) -> dict[str, str]:
    """Send the task; FastAPI runs this function in its pool of threads."""
    agent_id = str(uuid.uuid4())
    queue.send_task("spawn", kwargs={"request": body}, queue="spawn", task_id=agent_id)
    return {"agentId": agent_id, "status": "spawning"}


@app.get("/agents/{agent_id}/status")
def status(agent_id: str) -> dict[str, str]:
    """Read one key of the result backend."""
    return {"agentId": agent_id, "status": queue.AsyncResult(agent_id).state}

"""A Valkey that has no memory left."""

from __future__ import annotations

from contextlib import suppress

import redis


def fill_memory(client: redis.Redis, *, room: int = 2**22) -> None:
    """Take all the memory that Valkey may use: what it uses now, and this much."""
    client.config_set("maxmemory", client.info("memory")["used_memory"] + room)
    with suppress(redis.OutOfMemoryError):
        while True:
            client.append("ballast", bytes(2**16))

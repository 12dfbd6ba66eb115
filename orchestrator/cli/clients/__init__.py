"""The clients of the commands: one by Valkey, one by HTTP, with the same methods."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from orchestrator.cli import open_store

if TYPE_CHECKING:
    from orchestrator.cli.clients.interface import Client
    from orchestrator.settings import Settings


@contextmanager
def open_client(
    settings: Settings, *, is_following: bool = False, hint: str = ""
) -> Iterator[Client]:
    """Open the API that the settings name, else Valkey as `open_store` does.

    Raises:
        SystemNotRunning: the settings name neither, and no system runs from this home.
    """
    if settings.api_url:
        # Neither httpx nor its dependencies load where Valkey answers.
        from orchestrator.cli.clients.http import HttpClient  # noqa: PLC0415 - as above

        with HttpClient.open(settings) as client:
            yield client
        return
    from orchestrator.cli.clients.direct import DirectClient  # noqa: PLC0415 - pydantic, redis

    with open_store(settings, is_following=is_following, hint=hint) as store:
        yield DirectClient(store, settings)

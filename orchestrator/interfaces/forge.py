"""The Protocol of a code host, and the values that cross it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class ChangeRequest:
    """A pushed branch proposed for another one; the words are the agent's, so they are data."""

    repository: str
    branch: str
    base_branch: str
    title: str
    body: str


class Forge(Protocol):
    """One kind of code host; one file, exporting `build(settings) -> Forge`."""

    def open_request(self, asked: ChangeRequest, *, token: str) -> str:
        """Open a pull or merge request, or find the one already open, and return its URL.

        Raises:
            ForgeUnavailable: no connection, 429 or 5xx each time.
            ForgeRefused: it will not have the request, the token or the address.
        """
        ...

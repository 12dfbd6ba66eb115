"""The Protocol of a forge, and the values that its methods exchange."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class ChangeRequest:
    """A request to merge a pushed branch; the agent wrote title and body, so they are data."""

    repository: str
    branch: str
    base_branch: str
    title: str
    body: str


class Forge(Protocol):
    """One kind of forge; its module exports `build(settings) -> Forge`."""

    def open_request(self, asked: ChangeRequest, *, token: str) -> str:
        """Open a pull or merge request, or find the open one; return its URL.

        Raises:
            ForgeUnavailable: every try ended without a connection, or with 429 or 5xx.
            ForgeRefused: the forge refused the request, the token or the address.
        """
        ...

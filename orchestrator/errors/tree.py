"""The root of the tree of errors: code, message and next step."""

from __future__ import annotations

import inspect
from typing import ClassVar


class OrchestratorError(Exception):
    """An internal operation failed."""

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False
    action: ClassVar[str] = "Run `orch doctor`, and read the worker's log."

    def __init__(self, detail: str = "", *, action: str = "") -> None:
        self.detail = " ".join((detail or inspect.getdoc(self) or self.code).split())
        self.what_to_do = action or self.action
        super().__init__(f"{self.detail} {self.what_to_do}".strip())

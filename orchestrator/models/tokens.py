"""How the Messages API counts tokens, wherever its `usage` is met."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from orchestrator.models.usage import Usage

_Count = Annotated[int, BeforeValidator(lambda count: count or 0), Field(ge=0, le=10**12)]


class ApiTokens(BaseModel):
    """The `usage` of one message; fields we do not read are ignored."""

    model_config = ConfigDict(frozen=True)

    input_tokens: _Count = 0
    output_tokens: _Count = 0
    cache_read_input_tokens: _Count = 0
    cache_creation_input_tokens: _Count = 0

    @property
    def usage(self) -> Usage:
        """The same in our own terms; the total is for who adds up."""
        return Usage(
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cache_read_tokens=self.cache_read_input_tokens,
            cache_write_tokens=self.cache_creation_input_tokens,
        )
